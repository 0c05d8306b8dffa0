-- journal_append: queue writes in one partition and give each its final version.
--
--   accepted ──▶ WAITING ──settle──▶ stored, gone
--                   ▲ └──settle──▶ DEAD ──drop──▶ gone
--                   └────retry──────┘
--
-- A version is the proposed one, or the partition's highest plus one where that is larger; versions are decimal text here,
-- because Lua's numbers are doubles.
--
-- KEYS[1]  state (hash: high, seq, bytes, owner, fence, until)   KEYS[2]  queue (stream)   KEYS[3]  newest (hash)
-- ARGV     identity, version, accepted, payload for each write
-- Returns  {writes waiting, bytes waiting, accepted of the oldest, version, version, ...}
local state, queue, newest = KEYS[1], KEYS[2], KEYS[3]

local function above(a, b)
  if #a ~= #b then
    return #a > #b
  end
  return a > b
end

local high = redis.call('HGET', state, 'high') or '0'
local bytes = 0
local reply = { 0, 0, '' }
for at = 1, #ARGV, 4 do
  local identity, version, accepted, payload = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if above(version, high) then
    high = version
  else
    redis.call('HSET', state, 'high', high)
    redis.call('HINCRBY', state, 'high', 1)
    high = redis.call('HGET', state, 'high')
  end
  local place = redis.call('HINCRBY', state, 'seq', 1)
  redis.call('XADD', queue, place .. '-0', 'i', identity, 'v', high, 'a', accepted, 'p', payload)
  redis.call('HSET', newest, identity, place)
  bytes = bytes + #payload
  reply[#reply + 1] = high
end
redis.call('HSET', state, 'high', high)
reply[1] = redis.call('XLEN', queue)
reply[2] = redis.call('HINCRBY', state, 'bytes', bytes)
local oldest = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
reply[3] = oldest and oldest[2][6] or ''
return reply
