-- renew_fill: give an entry new windows because its source says that it has not changed; its body stays where it is.
--
--            LIVE | STALE with our lease and the body that the loader knew ──renew──▶ LIVE with new ends, created now
--            lease gone or another's, or another body ──▶ unchanged, refused
--            version below the record's floor ──▶ unchanged but for the lease, refused
--
-- KEYS[1]  the entry
-- ARGV[1]  lease token, 8 bytes    ARGV[2]  fingerprint (bytes 16-32 and 88-92) of the record that was not modified
-- ARGV[3..5]  ttl, grace, keep in ms
-- Returns  as commit_fill
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
if #head < 92 or string.sub(head, 57, 64) ~= ARGV[1] then
  return {0, 0, 0}
end
local state = string.byte(head, 4)
if (state ~= 1 and state ~= 2) or string.sub(head, 17, 32) .. string.sub(head, 89, 92) ~= ARGV[2] then
  return {0, 0, 0}
end
local awaited = string.byte(head, 8)
local zero = string.rep('\0', 8)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = string.sub(head, 17, 24)
redis.call('SETRANGE', KEYS[1], 7, '\0')
if version ~= zero and version < string.sub(head, 73, 80) then
  redis.call('SETRANGE', KEYS[1], 56, zero .. zero)
  return {-1, awaited, now}
end
local fresh = now + ARGV[3]
local stale = fresh + ARGV[4]
local kept = stale + ARGV[5]
redis.call('SETRANGE', KEYS[1], 3, '\1')
redis.call('SETRANGE', KEYS[1], 24, struct.pack('>I8I8I8I8', now, fresh, stale, kept) .. zero .. zero)
redis.call('PEXPIRE', KEYS[1], kept - now)
return {1, awaited, now}
