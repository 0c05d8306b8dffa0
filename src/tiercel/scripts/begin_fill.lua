-- begin_fill: ask for the right to load a key, or get what somebody else has stored in the meantime.
--
--            (absent) ──grant──▶ LEASED      LIVE/STALE ──grant──▶ the same body with a lease on it
--            TOMBSTONE ──grant──▶ TOMBSTONE with a lease; its version floor stays
--
-- KEYS[1]  the entry
-- ARGV[1]  lease token, 8 bytes      ARGV[2]  lease length, ms     ARGV[3]  hash of the key, 8 bytes
-- ARGV[4]  fingerprint (bytes 16-32 and 88-92) of the record that the caller has judged unusable, or ''
-- Returns  {'GRANTED', record or false} | {'BUSY', ms left, record or false} | {'HIT', record}
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ = struct.pack('>I8', now + ARGV[2])

if #head < 92 or string.sub(head, 1, 3) ~= 'Tc\1' then
  local record = 'Tc\1\4\0\0\0\0' .. ARGV[3] .. string.rep('\0', 40) .. ARGV[1] .. until_ .. string.rep('\0', 20)
  redis.call('SET', KEYS[1], record, 'PX', ARGV[2])
  return {'GRANTED', false}
end

local state = string.byte(head, 4)
local has_body = state == 1 or state == 2
local seen = string.sub(head, 17, 32) .. string.sub(head, 89, 92)
if state == 1 and seen ~= ARGV[4] and struct.unpack('>I8', string.sub(head, 33, 40)) > now then
  return {'HIT', redis.call('GET', KEYS[1])}
end

local body = has_body and redis.call('GET', KEYS[1])
local left = struct.unpack('>I8', string.sub(head, 65, 72)) - now
if string.sub(head, 57, 64) ~= string.rep('\0', 8) and left > 0 then
  redis.call('SETRANGE', KEYS[1], 7, '\1')
  return {'BUSY', left, body}
end
redis.call('SETRANGE', KEYS[1], 56, ARGV[1] .. until_)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {'GRANTED', body}
