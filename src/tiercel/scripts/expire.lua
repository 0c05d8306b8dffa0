-- expire: mark an entry stale and keep its body for the case that the next load fails; voids any lease.
--
--            LIVE | STALE ──▶ STALE with floor max(its own, the given one)      anything else ──▶ TOMBSTONE
--
-- KEYS[1]  the entry
-- ARGV[1]  hash of the key, 8 bytes   ARGV[2]  version floor, 8 bytes   ARGV[3]  life of a tombstone, ms
-- Returns  {awaited, 1 if there was a value}
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local ours = #head >= 92 and string.sub(head, 1, 3) == 'Tc\1'
local awaited = ours and string.byte(head, 8) or 0
local floor = ARGV[2]
if ours and string.sub(head, 73, 80) > floor then
  floor = string.sub(head, 73, 80)
end
local state = ours and string.byte(head, 4) or 0
if state == 1 or state == 2 then
  local time = redis.call('TIME')
  local now = struct.pack('>I8', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('SETRANGE', KEYS[1], 3, '\2')
  redis.call('SETRANGE', KEYS[1], 7, '\0')
  redis.call('SETRANGE', KEYS[1], 32, now .. now)
  redis.call('SETRANGE', KEYS[1], 56, string.rep('\0', 16) .. floor)
  return {awaited, 1}
end
redis.call('SET', KEYS[1], 'Tc\1\3\0\0\0\0' .. ARGV[1] .. string.rep('\0', 56) .. floor .. string.rep('\0', 12), 'PX', ARGV[3])
return {awaited, 0}
