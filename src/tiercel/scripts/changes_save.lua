-- changes_save: keep how far a source of changes was followed, and prolong the lease of the one that follows it.
--
--   HELD(owner, fence, position) ──save──▶ HELD(owner, fence, new position); anybody else changes nothing
--
-- repeatable
-- KEYS[1]  state
-- ARGV[1]  owner   ARGV[2]  fence   ARGV[3]  position, empty to keep it   ARGV[4]  time to live, ms
-- Returns  1, or 0 where the lease went to somebody else
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[4]))
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'position', ARGV[3])
end
return 1
