-- journal_newest: read the newest waiting write of a row.
--
-- repeatable
-- KEYS[1]  queue   KEYS[2]  newest
-- ARGV[1]  identity
-- Returns  {position, fields}, or nil where none waits
local place = redis.call('HGET', KEYS[2], ARGV[1])
if not place then
  return false
end
return redis.call('XRANGE', KEYS[1], place .. '-0', place .. '-0')[1] or false
