-- invalidate: destroy the value and leave a tombstone with a version floor; voids any lease.
--
--            any record, or none ──▶ TOMBSTONE with floor max(its own, the given one), no lease
--
-- KEYS[1]  the entry
-- ARGV[1]  hash of the key, 8 bytes   ARGV[2]  version floor, 8 bytes   ARGV[3]  life of the tombstone, ms
-- Returns  {awaited, 1 if there was a value}
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local floor, awaited, had = ARGV[2], 0, 0
if #head >= 92 and string.sub(head, 1, 3) == 'Tc\1' then
  local state = string.byte(head, 4)
  had = (state == 1 or state == 2) and 1 or 0
  awaited = string.byte(head, 8)
  if string.sub(head, 73, 80) > floor then
    floor = string.sub(head, 73, 80)
  end
end
redis.call('SET', KEYS[1], 'Tc\1\3\0\0\0\0' .. ARGV[1] .. string.rep('\0', 56) .. floor .. string.rep('\0', 12), 'PX', ARGV[3])
return {awaited, had}
