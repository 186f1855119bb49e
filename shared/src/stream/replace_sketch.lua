-- Puts a sketch of top users in the place of another one, unless that was written anew meanwhile.
-- KEYS: 1 top users
-- ARGV: 1 field, 2 the sketch that it holds, 3 the one that it is to hold
-- Answers {1} where it was done, else {0}
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return {0}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return {1}
