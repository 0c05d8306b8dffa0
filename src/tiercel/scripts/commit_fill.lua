-- commit_fill: store what was loaded, if the lease is still ours and nothing newer is known.
--
--            LEASED | LIVE | STALE | TOMBSTONE, all with our lease ──commit──▶ LIVE
--            lease gone, evicted or another's ──▶ unchanged, refused
--            version below the record's (a floor, or a newer row) ──▶ unchanged but for the lease, refused
--
-- KEYS[1]  the entry
-- ARGV[1]  lease token, 8 bytes    ARGV[2]  the frame, its times and lease zero
-- ARGV[3..5]  ttl, grace, keep in ms
-- Returns  {outcome, awaited, created ms}: outcome 1 stored, 0 lease lost, -1 older than the floor; awaited 1 if
--          somebody waits for this fill
local head = redis.call('GETRANGE', KEYS[1], 0, 91)
if #head < 92 or string.sub(head, 57, 64) ~= ARGV[1] then
  return {0, 0, 0}
end
local awaited = string.byte(head, 8)
local zero = string.rep('\0', 8)
local floor = string.sub(head, 73, 80)
local frame = ARGV[2]
local version = string.sub(frame, 17, 24)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if version ~= zero and version < floor then
  redis.call('SETRANGE', KEYS[1], 56, zero .. zero)
  redis.call('SETRANGE', KEYS[1], 7, '\0')
  return {-1, awaited, now}
end
local fresh = now + ARGV[3]
local stale = fresh + ARGV[4]
local kept = stale + ARGV[5]
local times = struct.pack('>I8I8I8I8', now, fresh, stale, kept)
redis.call('SET', KEYS[1], string.sub(frame, 1, 24) .. times .. zero .. zero ..
  (version > floor and version or floor) .. string.sub(frame, 81),
  'PX', kept - now)
return {1, awaited, now}
