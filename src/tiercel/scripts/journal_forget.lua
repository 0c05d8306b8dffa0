-- journal_forget: remove a row's waiting writes up to a version; all of them and its dead letters without one.
--
-- repeatable
-- KEYS[1]  state   KEYS[2]  queue   KEYS[3]  newest   KEYS[4]  dead   KEYS[5]  why
-- ARGV[1]  identity   ARGV[2]  version, or '' for everything
-- Returns  how many writes and dead letters were removed
--
-- Walks the queue: meant for erasure and for writes past a full journal, not for every request.
local function upto(version)
  if ARGV[2] == '' or #version < #ARGV[2] then
    return true
  end
  return #version == #ARGV[2] and version <= ARGV[2]
end

local gone, bytes, last = 0, 0, nil
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  local fields = entry[2]
  if fields[2] == ARGV[1] then
    if upto(fields[4]) then
      redis.call('XDEL', KEYS[2], entry[1])
      gone, bytes = gone + 1, bytes + #fields[8]
    else
      last = entry[1]
    end
  end
end
if not last then
  redis.call('HDEL', KEYS[3], ARGV[1])
end
redis.call('HINCRBY', KEYS[1], 'bytes', -bytes)
if ARGV[2] == '' then
  for _, letter in ipairs(redis.call('XRANGE', KEYS[4], '-', '+')) do
    if letter[2][2] == ARGV[1] then
      redis.call('XDEL', KEYS[4], letter[1])
      redis.call('HDEL', KEYS[5], letter[2][4] .. ARGV[1])
      gone = gone + 1
    end
  end
end
return gone
