-- swap_document: replace a versioned document where the stored one is still the version that the change was made on.
--
--            version = expected ──▶ the new document      any other version ──▶ unchanged
--
-- A document is its version, 8 bytes big-endian, and its body; none stored is version 0 (eight zero bytes).
--
-- KEYS[1]  the document      ARGV[1]  expected version, 8 bytes      ARGV[2]  new version and body
-- Returns  1 if replaced, else 0
local version = redis.call('GETRANGE', KEYS[1], 0, 7)
if #version < 8 then
  version = '\0\0\0\0\0\0\0\0'
end
if version ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
