-- store: set an entry unless a newer version is known; voids any lease, so that a load begun before cannot follow it.
--
--            any record ──version ≥ its floor, or none──▶ LIVE        any record ──older──▶ unchanged, refused
--
-- KEYS[1]  the entry
-- ARGV[1]  the frame, its times and lease zero      ARGV[2..4]  ttl, grace, keep in ms
-- Returns  {1 stored | 0 older than the record's floor, awaited, the record's floor, 8 bytes, created ms}
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
end
local fresh = now + ARGV[2]
local stale = fresh + ARGV[3]
local kept = stale + ARGV[4]
local times = struct.pack('>I8I8I8I8', now, fresh, stale, kept)
redis.call('SET', KEYS[1], string.sub(frame, 1, 24) .. times .. zero .. zero ..
  (version > floor and version or floor) .. string.sub(frame, 81),
  'PX', kept - now)
return {1, awaited, version, now}
