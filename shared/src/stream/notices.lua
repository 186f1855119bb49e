-- Lets one of several who would tell notices do so, and hands on what was told.
-- KEYS: 1 hash: who holds the lease, until when, what was told
-- ARGV: 1 who asks, 2 length of the lease in ms, 3 time to live of the hash in s; what was told, where that
--       is new
-- Answers '1' to who holds the lease, else '0'; and what was told.
redis.call('EXPIRE', KEYS[1], ARGV[3]) -- first write: after it the script also works at maxmemory
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local seen = redis.call('HMGET', KEYS[1], 'holder', 'until', 'told')
local ends = tonumber(seen[2] or 0) or 0
if seen[1] and seen[1] ~= ARGV[1] and ends > now then
  return {'0', seen[3] or ''}
end
local told = ARGV[4] or seen[3] or ''
ends = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', ends, 'told', told)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {'1', told}
