-- Appends the frames of one call, all or none.
-- KEYS: 1 life, 2 stream, 3 totals
-- ARGV: 1 life the caller knows, 2 format version, then per frame: events, bytes, header, payload
-- Answers {'ok', id, ...}, {'new_life'}, {'no_stream'} or {'wrong_type', key}; all but the first
-- write nothing.
local seen = redis.call('HMGET', KEYS[1], 'life', 'replid')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if seen[1] ~= ARGV[1] or seen[2] ~= replid then
  return {'new_life'}
end

-- What is written after XADD must not fail: an error there would read as a refusal.
local kind = redis.call('TYPE', KEYS[3])['ok']
if kind ~= 'none' and kind ~= 'hash' then
  return {'wrong_type', KEYS[3]}
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
-- A field that is no number leaves the backlog wrong, which a tick finds; the frames are appended.
redis.pcall('HINCRBY', KEYS[3], 'appended_events', events)
redis.pcall('HINCRBY', KEYS[3], 'appended_bytes', bytes)
return answer
