-- take_back: destroy what a restore put back, where it fell while the restore went on.
--
--            LIVE | STALE, created before the restore ──▶ TOMBSTONE with its floor      anything else ──▶ unchanged
--
-- What was created since is the live system's: it fell there already, or is newer than what fell.
--
-- KEYS[1]  the entry
-- ARGV[1]  hash of the key, 8 bytes   ARGV[2]  when the restore began, 8 bytes   ARGV[3]  life of the tombstone, ms
-- Returns  1 if it was destroyed
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local state = #head >= 92 and string.sub(head, 1, 3) == 'Tc\1' and string.byte(head, 4) or 0
if (state ~= 1 and state ~= 2) or string.sub(head, 25, 32) >= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], 'Tc\1\3\0\0\0\0' .. ARGV[1] .. string.rep('\0', 56) .. string.sub(head, 73, 80) ..
  string.rep('\0', 12), 'PX', ARGV[3])
return 1
