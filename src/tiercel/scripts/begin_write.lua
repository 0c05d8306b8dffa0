-- begin_write: leave a mark before a write goes to the store, so that `store` can tell whether anything fell since.
--
--            (absent) ──▶ LEASED to nobody, with the mark      LEASED without a mark ──▶ the same with the mark
--            LEASED with a mark | LIVE | STALE | TOMBSTONE ──▶ unchanged
--
-- An invalidation puts a tombstone in the mark's place; should that be evicted, the mark is missing.
--
-- KEYS[1]  the entry
-- ARGV[1]  mark, 8 bytes      ARGV[2]  its life, ms      ARGV[3]  hash of the key, 8 bytes
-- Returns  the record's mark, 8 bytes; zero where it has a body or is a tombstone
-- repeatable
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local zero = string.rep('\0', 8)
if #head < 92 or string.sub(head, 1, 3) ~= 'Tc\1' then
  redis.call('SET', KEYS[1], 'Tc\1\4\0\0\0\0' .. ARGV[3] .. zero .. ARGV[1] .. string.rep('\0', 60), 'PX', ARGV[2])
  return ARGV[1]
end
if string.byte(head, 4) ~= 4 then
  return zero
end
local mark = string.sub(head, 25, 32)
if mark == zero then
  mark = ARGV[1]
  redis.call('SETRANGE', KEYS[1], 24, mark)
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return mark
