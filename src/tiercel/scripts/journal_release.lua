-- journal_release: give a partition back, if it is still held; see journal_lease for the states.
--
-- repeatable
-- KEYS[1]  state
-- ARGV[1]  owner   ARGV[2]  fence
-- Returns  1 where it was held
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], 'owner', 'until')
return 1
