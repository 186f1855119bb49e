-- Reads hashes of counts in one step, so that what they hold fits together.
-- KEYS: the hashes
-- Answers per key an array of fields and values, or the type of a key that is no hash.
local answer = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'hash' or kind == 'none' then
    answer[i] = redis.call('HGETALL', key)
  else
    answer[i] = kind
  end
end
return answer
