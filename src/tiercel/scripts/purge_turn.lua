-- purge_turn: take the right to send purges to one distribution, by the server's clock.
--
--   FREE ──turn──▶ HELD(owner, fence) ──keep with 0 ms, or its time runs out──▶ FREE
--                    └── the same owner: prolonged, same fence; another owner: a larger fence
--
-- The pace goes from holder to holder, so that two machines together do not send faster than one may. A fence is never
-- used twice, even if the server forgets the key: it is at least the time in milliseconds.
--
-- repeatable
-- KEYS[1]  turn
-- ARGV[1]  owner   ARGV[2]  time to live, ms
-- Returns  {fence, tokens or '', ms since they were counted, ms left to rest}, or {0, ms until it is free}
local held = redis.call('HMGET', KEYS[1], 'owner', 'until', 'fence', 'tokens', 'counted', 'rest')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = tonumber(held[2] or '0')
if held[1] and held[1] ~= ARGV[1] and ends > now then
  return {0, ends - now}
end
local fence = tonumber(held[3] or '0')
if held[1] ~= ARGV[1] then
  fence = math.max(fence + 1, now)
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]),
  'fence', string.format('%.0f', fence))
redis.call('PEXPIRE', KEYS[1], 86400000)
local counted, rest = tonumber(held[5] or '0'), tonumber(held[6] or '0')
return {fence, held[4] or '', now - counted, math.max(0, rest - now)}
