-- Takes a consumer out of the group, unless entries are pending under it: they would go with it.
-- KEYS: 1 stream   ARGV: 1 group, 2 consumer
-- Answers {'left'}, {'pending', entries} or {'unknown'}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for i = 1, #consumer, 2 do
    fields[consumer[i]] = consumer[i + 1]
  end
  if fields['name'] == ARGV[2] then
    if fields['pending'] > 0 then
      return {'pending', fields['pending']}
    end
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return {'left'}
  end
end
return {'unknown'}
