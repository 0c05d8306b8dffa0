-- journal_lease: take the right to empty one partition, by the server's clock.
--
--   FREE ──lease──▶ HELD(owner, fence) ──release, or its time runs out──▶ FREE
--                     └── the same owner leases: prolonged, same fence; another owner: fence + 1
--
-- repeatable
-- KEYS[1]  state
-- ARGV[1]  owner   ARGV[2]  time to live, ms
-- Returns  the fence, or -1 while somebody else holds it
local held = redis.call('HMGET', KEYS[1], 'owner', 'until')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if held[1] and held[1] ~= ARGV[1] and tonumber(held[2] or '0') > now then
  return -1
end
if held[1] ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'fence', 1)
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
return tonumber(redis.call('HGET', KEYS[1], 'fence'))
