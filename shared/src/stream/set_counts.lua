-- Sets fields of one hash of counts, each to a base plus what other hashes hold of it right now.
-- KEYS: 1 life, 2 a key that never exists, 3 the hash, 4.. the hashes that are added
-- ARGV: 1 life the caller knows, 2 time to live in s, 0 for none, 3 '1' when the hash is damaged and
--       begins anew, 4 base of the partition's keys,
--       per field: tenant, type, types of the tenant by name, base
-- Answers {'ok', fields set} or {'new_life'}; the latter writes nothing.
local seen = redis.call('HMGET', KEYS[1], 'life', 'replid')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if seen[1] ~= ARGV[1] or seen[2] ~= replid then
  return {'new_life'}
end
redis.call('DEL', KEYS[2]) -- first write: after it the script also works at maxmemory
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[3])
end

local function held(key, field)
  local reply = redis.pcall('HGET', key, field)
  return type(reply) == 'string' and tonumber(reply) or 0
end

local set = 0
for at = 5, #ARGV, 4 do
  local tenant, kind, value = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3])
  local field = tenant .. '\31' .. kind
  for i = 4, #KEYS do
    value = value + held(KEYS[i], field)
  end
  if value > 0 then
    redis.call('HSET', KEYS[3], field, string.format('%.0f', value))
    local types = ARGV[4] .. 'types:' .. tenant
    if kind ~= '__other__' and redis.call('SCARD', types) < tonumber(ARGV[at + 2]) then
      redis.call('SADD', types, kind)
    end
  else
    redis.call('HDEL', KEYS[3], field)
  end
  set = set + 1
end
if ARGV[2] ~= '0' then
  redis.call('EXPIRE', KEYS[3], ARGV[2])
end
return {'ok', set}
