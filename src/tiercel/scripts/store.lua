-- store: set an entry unless a newer version is known; voids any lease, so that a load begun before cannot follow it.
--
--            (absent) | LEASED | LIVE ──version ≥ its floor, or none──▶ LIVE
--            TOMBSTONE | STALE | LIVE "no such record" ──no version──▶ LIVE
--            TOMBSTONE | STALE ──version ≥ its floor──▶ the same with that floor      LIVE "no such record" ──▶ TOMBSTONE
--            any record ──older──▶ unchanged, refused
--            (absent) | LEASED with another mark, where a mark is asked for ──▶ TOMBSTONE with its version as the floor
--
-- The third line: the invalidation named no version, so it may have come after this row was committed, for the sake of
-- a newer one. Only a load can tell, and its lease was taken after the invalidation. The last line: such a tombstone was
-- here, and was evicted (`begin_write` left a mark, which a fill, a tombstone or an eviction takes away).
--
-- KEYS[1]  the entry
-- ARGV[1]  the frame, its times and lease zero      ARGV[2..4]  ttl, grace, keep in ms
-- ARGV[5]  the mark that `begin_write` gave, '' for none      ARGV[6]  life of a tombstone, ms
-- Returns  {1 stored | 0 older than the record's floor | 2 left to the next load, awaited, the record's floor, 8 bytes, created ms}
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
local zero = string.rep('\0', 8)
local frame = ARGV[1]
local version = string.sub(frame, 17, 24)
local floor, awaited = zero, 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if #head >= 92 and string.sub(head, 1, 3) == 'Tc\1' then
  floor, awaited = string.sub(head, 73, 80), string.byte(head, 8)
  if version ~= zero and version < floor then
    return {0, 0, floor, now}
  end
  local state = string.byte(head, 4)
  local is_negative = state == 1 and math.floor(string.byte(head, 6) / 2) % 2 == 1
  if version ~= zero and (state == 2 or state == 3 or is_negative) then
    if is_negative then
      redis.call('SETRANGE', KEYS[1], 3, '\3')
    end
    redis.call('SETRANGE', KEYS[1], 7, '\0')
    redis.call('SETRANGE', KEYS[1], 56, zero .. zero .. version)
    return {2, awaited, version, now}
  end
end
local is_leased = #head >= 92 and string.byte(head, 4) == 4
if version ~= zero and ARGV[5] ~= '' and (#head < 92 or is_leased and
    (ARGV[5] == zero or string.sub(head, 25, 32) ~= ARGV[5])) then
  redis.call('SET', KEYS[1], 'Tc\1\3\0\0\0\0' .. string.sub(frame, 9, 16) .. string.rep('\0', 56) .. version ..
    string.rep('\0', 12), 'PX', ARGV[6])
  return {2, awaited, version, now}
end
local fresh = now + ARGV[2]
local stale = fresh + ARGV[3]
local kept = stale + ARGV[4]
local times = struct.pack('>I8I8I8I8', now, fresh, stale, kept)
redis.call('SET', KEYS[1], string.sub(frame, 1, 24) .. times .. zero .. zero ..
  (version > floor and version or floor) .. string.sub(frame, 81),
  'PX', kept - now)
return {1, awaited, version, now}
