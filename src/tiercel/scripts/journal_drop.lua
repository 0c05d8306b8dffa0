-- journal_drop: throw dead letters away.
--
-- repeatable
-- KEYS[1]  dead   KEYS[2]  why
-- ARGV     positions
-- Returns  how many there were
local found = 0
for _, place in ipairs(ARGV) do
  local letter = redis.call('XRANGE', KEYS[1], place .. '-0', place .. '-0')[1]
  if letter then
    redis.call('XDEL', KEYS[1], letter[1])
    redis.call('HDEL', KEYS[2], letter[2][4] .. letter[2][2])
    found = found + 1
  end
end
return found
