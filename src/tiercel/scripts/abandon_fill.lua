-- abandon_fill: give a lease back after a load that failed.
--
--            LEASED with our lease ──▶ (absent)      any other record with our lease ──▶ the same without it
--
-- KEYS[1]  the entry    ARGV[1]  lease token, 8 bytes
-- Returns  1 if somebody waits for the fill, else 0
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
if #head < 92 or string.sub(head, 57, 64) ~= ARGV[1] then
  return 0
end
local awaited = string.byte(head, 8)
if string.byte(head, 4) == 4 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SETRANGE', KEYS[1], 56, string.rep('\0', 16))
  redis.call('SETRANGE', KEYS[1], 7, '\0')
end
return awaited
