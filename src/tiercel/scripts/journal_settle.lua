-- journal_settle: remove writes that the store has, turn refused ones into dead letters, in one step; see journal_append.
--
-- repeatable
-- KEYS[1]  state   KEYS[2]  queue   KEYS[3]  newest   KEYS[4]  dead (stream)   KEYS[5]  why (hash)
-- ARGV[1]  owner   ARGV[2]  fence   ARGV[3]  number of positions done
-- ARGV     the positions done, then position and reason of each refused write
-- Returns  {writes waiting, bytes waiting, accepted of the oldest, dead letters}, or nil where the lease is lost
local state, queue, newest, dead, why = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local held = redis.call('HMGET', state, 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return false
end
local bytes = 0

local function remove(place)
  local entry = redis.call('XRANGE', queue, place .. '-0', place .. '-0')[1]
  if not entry then
    return nil
  end
  local fields = entry[2]
  redis.call('XDEL', queue, entry[1])
  bytes = bytes + #fields[8]
  if redis.call('HGET', newest, fields[2]) == place then
    redis.call('HDEL', newest, fields[2])
  end
  return fields
end

local first = 4 + ARGV[3]
for at = 4, first - 1 do
  remove(ARGV[at])
end
local now = redis.call('TIME')
for at = first, #ARGV, 2 do
  local place, reason = ARGV[at], ARGV[at + 1]
  local fields = remove(place)
  if fields then
    local grave = redis.call('HINCRBY', state, 'graves', 1)
    redis.call('XADD', dead, grave .. '-0', 'i', fields[2], 'v', fields[4], 'a', fields[6], 'p', fields[8], 'r', reason, 't', now[1])
    redis.call('HSET', why, fields[4] .. fields[2], grave)
  end
end
local left = redis.call('HINCRBY', state, 'bytes', -bytes)
local oldest = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
return { redis.call('XLEN', queue), left, oldest and oldest[2][6] or '', redis.call('XLEN', dead) }
