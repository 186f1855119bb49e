-- Appends the frames of one call, all or none.
-- KEYS: 1 life, 2 stream, 3 totals
-- ARGV: 1 life the caller knows, 2 format version, then per frame: events, bytes, header, payload
-- Answers {'ok', id, ...}, {'new_life'} or {'no_stream'}; the last two write nothing.
local seen = redis.call('HMGET', KEYS[1], 'life', 'replid')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if seen[1] ~= ARGV[1] or seen[2] ~= replid then
  return {'new_life'}
end

-- XADD comes first: a write before it would switch the memory limit off for the rest of the
-- script. When the first one passes the limit, the rest of the call does too.
local answer = {'ok'}
local events, bytes = 0, 0
for i = 3, #ARGV, 4 do
  local id = redis.call('XADD', KEYS[2], 'NOMKSTREAM', '*', 'v', ARGV[2], 'n', ARGV[i],
    'b', ARGV[i + 1], 'm', ARGV[i + 2], 'd', ARGV[i + 3])
  if not id then
    return {'no_stream'}
  end
  answer[#answer + 1] = id
  events = events + tonumber(ARGV[i])
  bytes = bytes + tonumber(ARGV[i + 1])
end
redis.call('HINCRBY', KEYS[3], 'appended_events', events)
redis.call('HINCRBY', KEYS[3], 'appended_bytes', bytes)
return answer
