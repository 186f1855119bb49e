-- Reads entries from a place on, and says in the same moment what may be missing among them.
-- KEYS: 1 life, 2 stream
-- ARGV: 1 start of the range as XRANGE takes it, 2 entries at most, 0 for none, 3 bytes at most:
-- the entry that exceeds them is the last one
-- Answers {life, highest deleted id, last id, 1 if there may be more entries, entries}
local life = redis.call('HGET', KEYS[1], 'life') or '0'
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {life, '0-0', '0-0', 0, {}}
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
local start, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local entries, more = {}, 1
-- One by one: how large an entry is shows only when it was read, and a thousand of the largest
-- would be gigabytes.
while #entries < most and room > 0 do
  local found = redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', 1)[1]
  if not found then
    more = 0
    break
  end
  entries[#entries + 1] = found
  for _, part in ipairs(found[2]) do
    room = room - #part
  end
  start = '(' .. found[1]
end
return {life, deleted, last, more, entries}
