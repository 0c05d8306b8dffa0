-- restore: put a record of a backup back, unless something newer, or the trace of something newer, is there.
--
--            (absent) ──▶ the record      LIVE of an older version ──▶ the record      anything else ──▶ unchanged
--
-- A tombstone, a lease, a stale or a live entry says that the key has moved on since the backup: it stays.
--
-- repeatable
-- KEYS[1]  the entry
-- ARGV[1]  the record, without lease, its times on this server's clock    ARGV[2]  when it ends, ms
-- Returns  1 restored, 0 something is there, -1 it has ended
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local record = ARGV[1]
if #head > 0 then
  local version, stored = string.sub(record, 17, 24), string.sub(head, 17, 24)
  local ours = #head >= 92 and string.sub(head, 1, 4) == 'Tc\1\1' and string.sub(head, 57, 64) == string.rep('\0', 8)
  if not ours or stored == string.rep('\0', 8) or version <= stored or version < string.sub(head, 73, 80) then
    return 0
  end
end
local time = redis.call('TIME')
local left = ARGV[2] - (time[1] * 1000 + math.floor(time[2] / 1000))
if left <= 0 then
  return -1
end
redis.call('SET', KEYS[1], record, 'PX', left)
return 1
