-- journal_take: read a partition's waiting writes, oldest first, and prolong the lease; nothing leaves the queue.
--
-- repeatable
-- KEYS[1]  state   KEYS[2]  queue
-- ARGV[1]  owner   ARGV[2]  fence   ARGV[3]  position to read behind   ARGV[4]  most writes   ARGV[5]  time to live, ms
-- Returns  {{position, fields}, ...}, or nil where the lease went to somebody else
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[5]))
if ARGV[4] == '0' then
  return {}
end
return redis.call('XRANGE', KEYS[2], ARGV[3] .. '-1', '+', 'COUNT', ARGV[4])
