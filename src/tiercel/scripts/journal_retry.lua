-- journal_retry: queue dead letters again at the end, under their own versions; see journal_append for the states.
--
-- repeatable
-- KEYS[1]  state   KEYS[2]  queue   KEYS[3]  newest   KEYS[4]  dead   KEYS[5]  why
-- ARGV     positions of the dead letters
-- Returns  how many there were
local found = 0
for _, place in ipairs(ARGV) do
  local letter = redis.call('XRANGE', KEYS[4], place .. '-0', place .. '-0')[1]
  if letter then
    local fields = letter[2]
    local new = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('XADD', KEYS[2], new .. '-0', 'i', fields[2], 'v', fields[4], 'a', fields[6], 'p', fields[8])
    redis.call('HSETNX', KEYS[3], fields[2], new)
    redis.call('HINCRBY', KEYS[1], 'bytes', #fields[8])
    redis.call('XDEL', KEYS[4], letter[1])
    redis.call('HDEL', KEYS[5], fields[4] .. fields[2])
    found = found + 1
  end
end
return found
