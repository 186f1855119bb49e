-- Greets the data of a partition: makes what is missing, recognises a new life, registers a
-- producer.
-- KEYS: 1 life, 2 stream, 3 totals, 4 kept, 5 a key that never exists, 6 producer (optional)
-- ARGV: 1 highest life the caller knows, 2 group, 3 producer's token, 4 its time to live in s,
--       5 how many past cuts are remembered
-- Answers {life, made, producer, lost events, lost bytes, life, cut, life, cut, ...}
redis.call('DEL', KEYS[5]) -- first write: after it the script also works at maxmemory

local info = redis.call('INFO', 'replication')
local replid = string.match(info, 'master_replid:(%x+)')
local seen = redis.call('HMGET', KEYS[1], 'life', 'replid')

local function field_of(reply, name)
  for i = 1, #reply, 2 do
    if reply[i] == name then
      return reply[i + 1]
    end
  end
end

local made, lost_events, lost_bytes = 'nothing', 0, 0
if redis.call('EXISTS', KEYS[2]) == 0 then
  made = 'stream'
  redis.call('DEL', KEYS[4])
  local t = redis.call('HMGET', KEYS[3], 'appended_events', 'acknowledged_events', 'lost_events',
    'appended_bytes', 'acknowledged_bytes', 'lost_bytes')
  lost_events = (tonumber(t[1]) or 0) - (tonumber(t[2]) or 0) - (tonumber(t[3]) or 0)
  lost_bytes = (tonumber(t[4]) or 0) - (tonumber(t[5]) or 0) - (tonumber(t[6]) or 0)
  redis.call('HINCRBY', KEYS[3], 'lost_events', lost_events)
  redis.call('HINCRBY', KEYS[3], 'lost_bytes', lost_bytes)
  redis.call('HSET', KEYS[3], 'kept_bytes', 0)
  redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[2], '0', 'MKSTREAM')
else
  local found = false
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
    found = found or field_of(group, 'name') == ARGV[2]
  end
  if not found then
    made = 'group'
    -- Acknowledged entries would be delivered again to the new group: they go first.
    repeat
      local kept = redis.call('LRANGE', KEYS[4], 0, 999)
      local ids = {}
      for i, entry in ipairs(kept) do
        ids[i] = string.match(entry, '^[^ ]+')
      end
      if #ids > 0 then
        redis.call('XDEL', KEYS[2], unpack(ids))
        redis.call('LTRIM', KEYS[4], #ids, -1)
      end
    until #ids == 0
    redis.call('HSET', KEYS[3], 'kept_bytes', 0)
    redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[2], '0')
  end
end

local cuts = {}
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  local number = string.match(stored[i], '^cut:(%d+)$')
  if number then
    cuts[#cuts + 1] = {number, stored[i + 1]}
  end
end

local function is_below(one, other)
  local ms, seq = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_seq = string.match(other, '(%d+)-(%d+)')
  if ms ~= other_ms then
    return tonumber(ms) < tonumber(other_ms)
  end
  return tonumber(seq) < tonumber(other_seq)
end

-- A new life: another server than the one seen last, a stream made anew (its entry ids may come
-- again), or a caller that knows a life this data never lived.
local life, known = tonumber(seen[1]), tonumber(ARGV[1])
local is_same = life and seen[2] == replid
if not is_same or made == 'stream' or known > life then
  local cut = field_of(redis.call('XINFO', 'STREAM', KEYS[2]), 'last-generated-id')
  if is_same and known > life then
    -- How much of what that caller knew is missing cannot be told: the lowest cut counts.
    for _, recorded in ipairs(cuts) do
      if is_below(recorded[2], cut) then
        cut = recorded[2]
      end
    end
  end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  life = math.max(now, (life or 0) + 1, known + 1)
  local number = string.format('%.0f', life)
  redis.call('HSET', KEYS[1], 'life', number, 'replid', replid, 'cut:' .. number, cut)
  cuts[#cuts + 1] = {number, cut}
end
table.sort(cuts, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
while #cuts > tonumber(ARGV[5]) do
  redis.call('HDEL', KEYS[1], 'cut:' .. cuts[1][1])
  table.remove(cuts, 1)
end

local producer = 'none'
if KEYS[6] then
  if redis.call('SET', KEYS[6], ARGV[3], 'NX', 'EX', ARGV[4]) then
    producer = 'registered'
  elseif redis.call('GET', KEYS[6]) == ARGV[3] then
    redis.call('EXPIRE', KEYS[6], ARGV[4])
    producer = 'registered'
  else
    producer = 'taken'
  end
end

local answer = {string.format('%.0f', life), made, producer, lost_events, lost_bytes}
for _, cut in ipairs(cuts) do
  answer[#answer + 1] = cut[1]
  answer[#answer + 1] = cut[2]
end
return answer
