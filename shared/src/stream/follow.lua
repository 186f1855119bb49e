-- Reads entries from a place on, and says in the same moment what may be missing among them.
-- KEYS: 1 life, 2 stream
-- ARGV: 1 start of the range as XRANGE takes it, 2 entries at most, 0 for none
-- Answers {life, highest deleted id, last id, entries}
local life = redis.call('HGET', KEYS[1], 'life') or '0'
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {life, '0-0', '0-0', {}}
end
local deleted, last = '0-0', '0-0'
local stream = redis.call('XINFO', 'STREAM', KEYS[2])
for i = 1, #stream, 2 do
  if stream[i] == 'max-deleted-entry-id' then
    deleted = stream[i + 1]
  elseif stream[i] == 'last-generated-id' then
    last = stream[i + 1]
  end
end
local entries = {}
if ARGV[2] ~= '0' then
  entries = redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])
end
return {life, deleted, last, entries}
