-- journal_enlist: note a living worker and return all of them, by the server's clock.
--
-- repeatable
-- KEYS[1]  workers (sorted set by the time at which they are missed, ms)
-- ARGV[1]  owner   ARGV[2]  time to live, ms
-- Returns  the living workers
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
