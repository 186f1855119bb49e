-- Adds to the sketches of one bucket.
-- KEYS: 1 users, 2 sessions, 3 top users
-- ARGV: 1 time to live in s, 2 field of the top users, 3 their sketch or '', 4 fields at most,
--       5 number of users, the users, the sessions
local users = tonumber(ARGV[5])
local function add(key, from, to)
  for first = from, to, 1000 do
    redis.call('PFADD', key, unpack(ARGV, first, math.min(first + 999, to)))
  end
  if to >= from then
    redis.call('EXPIRE', key, ARGV[1])
  end
end
add(KEYS[1], 6, 5 + users)
add(KEYS[2], 6 + users, #ARGV)
if ARGV[3] ~= '' then
  local room = redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1
    or redis.call('HLEN', KEYS[3]) < tonumber(ARGV[4])
  redis.call('HSET', KEYS[3], room and ARGV[2] or 'lacking', room and ARGV[3] or '-')
  redis.call('EXPIRE', KEYS[3], ARGV[1])
end
return {'ok'}
