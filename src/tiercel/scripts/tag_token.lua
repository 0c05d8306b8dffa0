-- tag_token: the token of a tag, made now where there is none; its life is pushed out to cover the entries that use it.
--
-- KEYS[1]  the tag      ARGV[1]  a fresh random token, 8 bytes      ARGV[2]  least life left, ms
-- Returns  the token, 8 bytes
local token = redis.call('GET', KEYS[1])
if not token or #token ~= 8 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return token
