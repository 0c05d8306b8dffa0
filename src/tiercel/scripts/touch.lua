-- touch: give a live entry a new ttl, counted from now.
--
--            LIVE ──▶ LIVE with new ends      anything else ──▶ unchanged
--
-- KEYS[1]  the entry      ARGV[1..3]  ttl, grace, keep in ms
-- Returns  1 if the entry was live, else 0
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
if #head < 92 or string.sub(head, 1, 3) ~= 'Tc\1' or string.byte(head, 4) ~= 1 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fresh = now + ARGV[1]
local stale = fresh + ARGV[2]
local kept = stale + ARGV[3]
redis.call('SETRANGE', KEYS[1], 32, struct.pack('>I8I8I8', fresh, stale, kept))
redis.call('PEXPIRE', KEYS[1], kept - now)
return 1
