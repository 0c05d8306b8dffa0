-- journal_restore: queue a backup's writes again under their own versions, where the journal itself was lost.
--
-- A partition that ever gave a version as high as a write's has seen that write, and settled or still holds it: it stays
-- out. So does a dead letter wherever the partition knows anything. A repeated call adds nothing twice.
--
-- repeatable
-- KEYS[1]  state   KEYS[2]  queue   KEYS[3]  newest   KEYS[4]  dead   KEYS[5]  why
-- ARGV[1]  the backup's name    ARGV[2]  'queue' or 'dead'
-- ARGV     identity, version, accepted, payload, reason, parked for each write
-- Returns  how many were added
local state, queue, newest, dead, why = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local function above(a, b)
  return #a > #b or (#a == #b and a > b)
end

if redis.call('HGET', state, 'restored') ~= ARGV[1] then
  redis.call('HSET', state, 'restored', ARGV[1], 'base', redis.call('HGET', state, 'high') or '0', 'last', '0')
end
local base = redis.call('HGET', state, 'base')
local added = 0
for at = 3, #ARGV, 6 do
  local identity, version = ARGV[at], ARGV[at + 1]
  if ARGV[2] == 'queue' and above(version, base) and above(version, redis.call('HGET', state, 'last')) then
    local place = redis.call('HINCRBY', state, 'seq', 1)
    redis.call('XADD', queue, place .. '-0', 'i', identity, 'v', version, 'a', ARGV[at + 2], 'p', ARGV[at + 3])
    redis.call('HSETNX', newest, identity, place)
    local known = redis.call('HGET', newest, identity)
    local entry = redis.call('XRANGE', queue, known .. '-0', known .. '-0')[1]
    if not entry or above(version, entry[2][4]) then
      redis.call('HSET', newest, identity, place)
    end
    redis.call('HINCRBY', state, 'bytes', #ARGV[at + 3])
    redis.call('HSET', state, 'last', version)
    if above(version, redis.call('HGET', state, 'high') or '0') then
      redis.call('HSET', state, 'high', version)
    end
    added = added + 1
  elseif ARGV[2] == 'dead' and base == '0' and redis.call('HEXISTS', why, version .. identity) == 0 then
    local grave = redis.call('HINCRBY', state, 'graves', 1)
    redis.call('XADD', dead, grave .. '-0', 'i', identity, 'v', version, 'a', ARGV[at + 2], 'p', ARGV[at + 3],
      'r', ARGV[at + 4], 't', ARGV[at + 5])
    redis.call('HSET', why, version .. identity, grave)
    added = added + 1
  end
end
return added
