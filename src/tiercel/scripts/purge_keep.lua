-- purge_keep: prolong a turn and note the pace, or give it back; see purge_turn for the states.
--
-- A holder that slept through its time has another fence than the turn, and changes nothing.
--
-- repeatable
-- KEYS[1]  turn
-- ARGV[1]  owner   ARGV[2]  fence   ARGV[3]  time to live, ms; 0 gives it back
-- ARGV[4]  tokens left   ARGV[5]  ms to rest
-- Returns  1 where it was held
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'tokens', ARGV[4], 'counted', string.format('%.0f', now),
  'rest', string.format('%.0f', now + ARGV[5]))
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], 'owner', 'until')
else
  redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[3]))
end
return 1
