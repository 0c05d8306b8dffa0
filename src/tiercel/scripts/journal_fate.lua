-- journal_fate: say what became of one write.
--
-- repeatable
-- KEYS[1]  queue   KEYS[2]  newest   KEYS[3]  dead   KEYS[4]  why
-- ARGV[1]  identity   ARGV[2]  version
-- Returns  'pending', 'settled', or the reason with '!' before it where it is a dead letter
--
-- Positions and versions grow together, so a write waits where the head of the queue is not newer than it and the newest
-- write of its row is not older.
local function atleast(a, b)
  return #a > #b or (#a == #b and a >= b)
end

local function version_at(first, last)
  local entry = redis.call('XRANGE', KEYS[1], first, last, 'COUNT', 1)[1]
  return entry and entry[2][4]
end

local place = redis.call('HGET', KEYS[2], ARGV[1])
if place then
  local newest = version_at(place .. '-0', place .. '-0')
  local head = version_at('-', '+')
  if newest and head and atleast(newest, ARGV[2]) and atleast(ARGV[2], head) then
    return 'pending'
  end
end
local grave = redis.call('HGET', KEYS[4], ARGV[2] .. ARGV[1])
if grave then
  local letter = redis.call('XRANGE', KEYS[3], grave .. '-0', grave .. '-0')[1]
  if letter then
    return '!' .. letter[2][10]
  end
end
return 'settled'
