-- Acknowledges entries, settles frames and drops what leaves the kept window, in one step.
-- KEYS: 1 life, 2 stream, 3 totals, 4 kept, 5 a key that never exists, 6 counts over all time
-- ARGV: 1 life the caller knew before it read the entries, 2 group, 3 base of the partition's keys,
--       4 kept window in ms, 5 kept window in bytes, 6 '1' when memory is short, 7 types by name,
--       8 number of entries, 9 number of frames to settle, 10 number of tenants with another cap of types,
--       per tenant: its name, types by name
--       per entry: id, events, bytes, stored bytes
--       per frame: producer, block, bit, second, receipt's time in ms, duplicates, dead letters,
--                  expired events, rows, per row: tenant, type, count
-- Answers {'ok', acknowledged, settled frames, counted events, duplicates, dead letters,
--          expired events, left to verify, dropped entries, lost events, backlog events,
--          backlog bytes, failure, ...}, {'new_life'} or {'wrong_type', key}; the last two write nothing.
-- Lua does not roll back, so types are checked before the first write and what can still fail
-- runs under pcall and is reported.
local DAY_MS = 86400000
local SETTLED_TTL = 172800
local TTL = {s = 7200, m = 172800, h = 34560000}
-- Fields written at once: Lua's unpack gives at most 8,000 values.
local FIELDS_MAX = 1000

local seen = redis.call('HMGET', KEYS[1], 'life', 'replid')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if seen[1] ~= ARGV[1] or seen[2] ~= replid then
  return {'new_life'}
end
local expected = {[KEYS[2]] = 'stream', [KEYS[3]] = 'hash', [KEYS[4]] = 'list', [KEYS[6]] = 'hash'}
for key, kind in pairs(expected) do
  local found = redis.call('TYPE', key)['ok']
  if found ~= 'none' and found ~= kind then
    return {'wrong_type', key}
  end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local base, entries, frames = ARGV[3], tonumber(ARGV[8]), tonumber(ARGV[9])
local failures = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply['err'] then
    failures[#failures + 1] = reply['err']
    return nil
  end
  return reply
end

-- Totals are read once and what has changed is written once.
local names = {'acknowledged_events', 'acknowledged_bytes', 'settled_frames', 'counted_events',
  'duplicate_events', 'dead_lettered_events', 'expired_events', 'kept_bytes', 'appended_events',
  'appended_bytes', 'lost_events', 'lost_bytes'}
local totals, changed = {}, {}
for i, value in ipairs(redis.call('HMGET', KEYS[3], unpack(names))) do
  totals[names[i]] = tonumber(value or 0)
  if not totals[names[i]] then
    failures[#failures + 1] = KEYS[3] .. ' ' .. names[i] .. ' was no number and begins anew'
    totals[names[i]] = 0
  end
end
local function raise(name, by)
  if by ~= 0 then
    totals[name] = totals[name] + by
    changed[name] = true
  end
end

-- XACK first: also at maxmemory the rest of the script then works, so that a full Redis drains.
local caps, at = {}, 11
for _ = 1, tonumber(ARGV[10]) do
  caps[ARGV[at]] = tonumber(ARGV[at + 1])
  at = at + 2
end
local acknowledged, events, bytes, kept_bytes = 0, 0, 0, 0
local kept = {}
if entries == 0 then
  redis.call('DEL', KEYS[5])
end
for _ = 1, entries do
  if redis.call('XACK', KEYS[2], ARGV[2], ARGV[at]) == 1 then
    acknowledged = acknowledged + 1
    events = events + tonumber(ARGV[at + 1])
    bytes = bytes + tonumber(ARGV[at + 2])
    kept_bytes = kept_bytes + tonumber(ARGV[at + 3])
    kept[#kept + 1] = ARGV[at] .. ' ' .. ARGV[at + 3] .. ' ' .. string.format('%d', now)
  end
  at = at + 4
end
if acknowledged > 0 then
  raise('acknowledged_events', events)
  raise('acknowledged_bytes', bytes)
  try('RPUSH', KEYS[4], unpack(kept))
end

-- Settle: a frame's counts go in when its bit was 0, and only then.
local named = {}
local function counted_as(tenant, kind)
  local field = tenant .. '\31' .. kind
  local known = named[field]
  if not known then
    local types = base .. 'types:' .. tenant
    if try('SISMEMBER', types, kind) == 1 then
      known = field
    elseif (try('SCARD', types) or 0) < (caps[tenant] or tonumber(ARGV[7])) then
      try('SADD', types, kind)
      known = field
    else
      known = tenant .. '\31__other__'
    end
    named[field] = known
  end
  return known
end

local settled, counted, duplicates, dead, expired, stale = 0, 0, 0, 0, 0, 0
local sums, blocks = {}, {}
local function cells_of(key)
  local cells = sums[key] or {}
  sums[key] = cells
  return cells
end
for _ = 1, frames do
  local second, rows = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 8])
  local fresh = now - tonumber(ARGV[at + 4]) < DAY_MS
  local first = false
  if fresh then
    local block = base .. 'settled:' .. ARGV[at] .. ':' .. ARGV[at + 1]
    first = try('SETBIT', block, ARGV[at + 2], 1) == 0
    blocks[block] = true
  else
    stale = stale + 1
  end
  if first then
    settled = settled + 1
    duplicates = duplicates + tonumber(ARGV[at + 5])
    dead = dead + tonumber(ARGV[at + 6])
    expired = expired + tonumber(ARGV[at + 7])
    local cells = rows > 0 and {
      cells_of(base .. 'c:s:' .. second),
      cells_of(base .. 'c:m:' .. math.floor(second / 60)),
      cells_of(base .. 'c:h:' .. math.floor(second / 3600)),
      cells_of(KEYS[6]),
    }
    for row = at + 9, at + 6 + rows * 3, 3 do
      local field, count = counted_as(ARGV[row], ARGV[row + 1]), tonumber(ARGV[row + 2])
      counted = counted + count
      for i = 1, 4 do
        cells[i][field] = (cells[i][field] or 0) + count
      end
    end
  end
  at = at + 9 + rows * 3
end
for block in pairs(blocks) do
  try('EXPIRE', block, SETTLED_TTL)
end
-- Many fields take two commands, and one line of the log. Whether one of them is new is returned.
local function count(key, cells, fields)
  local known = try('HMGET', key, unpack(fields))
  local sets, is_new = {}, false
  for i, field in ipairs(known and fields or {}) do
    local sum = tonumber(known[i] or 0)
    if sum then
      sets[#sets + 1] = field
      sets[#sets + 1] = string.format('%d', sum + cells[field])
      is_new = is_new or not known[i]
    else
      failures[#failures + 1] = key .. ' ' .. string.gsub(field, '\31', ' ') .. ' is no number'
    end
  end
  if #sets > 0 then
    try('HSET', key, unpack(sets))
  end
  return is_new
end
for key, cells in pairs(sums) do
  local fields, is_new = {}, false
  for field in pairs(cells) do
    fields[#fields + 1] = field
    if #fields == FIELDS_MAX then
      is_new = count(key, cells, fields) or is_new
      fields = {}
    end
  end
  if #fields > 0 then
    is_new = count(key, cells, fields) or is_new
  end
  local unit = is_new and string.match(key, 'c:(%a):%d+$')
  if unit then
    try('EXPIRE', key, TTL[unit])
  end
end
raise('settled_frames', settled)
raise('counted_events', counted)
raise('duplicate_events', duplicates)
raise('dead_lettered_events', dead)
raise('expired_events', expired)

-- Acknowledged entries stay for live readers until they leave the window.
local dropped = 0
local held = totals['kept_bytes'] + kept_bytes
while dropped < 2000 do
  local leaving = {}
  for _, entry in ipairs(redis.call('LRANGE', KEYS[4], 0, 99)) do
    local id, size, since = string.match(entry, '^(%S+) (%d+) (%d+)$')
    local stays = id and ARGV[6] ~= '1' and held <= tonumber(ARGV[5])
      and now - tonumber(since) <= tonumber(ARGV[4])
    if stays then
      break
    end
    leaving[#leaving + 1] = id or '0-0'
    held = held - (tonumber(size) or 0)
  end
  if #leaving == 0 then
    break
  end
  try('XDEL', KEYS[2], unpack(leaving))
  try('LTRIM', KEYS[4], #leaving, -1)
  dropped = dropped + #leaving
end
raise('kept_bytes', held - totals['kept_bytes'])

-- A tick also looks whether the backlog is what its totals say: with nothing pending and nothing
-- undelivered it is zero, and what differs was lost.
local function left(what)
  return totals['appended_' .. what] - totals['acknowledged_' .. what] - totals['lost_' .. what]
end
local backlog_events, backlog_bytes = left('events'), left('bytes')
local lost = 0
if entries == 0 and frames == 0 and (backlog_events ~= 0 or backlog_bytes ~= 0) then
  local function field_of(reply, name)
    for i = 1, #reply, 2 do
      if reply[i] == name then
        return reply[i + 1]
      end
    end
  end
  local stream = try('XINFO', 'STREAM', KEYS[2])
  for _, group in ipairs(stream and try('XINFO', 'GROUPS', KEYS[2]) or {}) do
    if field_of(group, 'name') == ARGV[2] and field_of(group, 'pending') == 0
      and field_of(group, 'last-delivered-id') == field_of(stream, 'last-generated-id') then
      lost = backlog_events
      raise('lost_events', backlog_events)
      raise('lost_bytes', backlog_bytes)
      backlog_events, backlog_bytes = 0, 0
    end
  end
end

local written = {}
for name in pairs(changed) do
  written[#written + 1] = name
  written[#written + 1] = string.format('%d', totals[name])
end
if #written > 0 then
  try('HSET', KEYS[3], unpack(written))
end
local answer = {'ok', acknowledged, settled, counted, duplicates, dead, expired, stale,
  dropped, lost, backlog_events, backlog_bytes}
for i = 1, math.min(#failures, 10) do
  answer[#answer + 1] = failures[i]
end
return answer
