-- Gives out parts of the quotas of a day.
-- KEYS: 1 hash of what was given
-- ARGV: 1 time to live in s; per tenant: its id, its quota, how much is asked for
-- Answers how much each is given.
redis.call('EXPIRE', KEYS[1], ARGV[1]) -- first write: after it the script also works at maxmemory
local given = {}
for at = 2, #ARGV, 3 do
  local before = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  local left = tonumber(ARGV[at + 1]) - before
  local give = string.format('%.0f', math.max(0, math.min(tonumber(ARGV[at + 2]), left)))
  if give ~= '0' then
    redis.call('HINCRBY', KEYS[1], ARGV[at], give)
  end
  given[#given + 1] = give
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return given
