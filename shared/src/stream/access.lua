-- Says who may come in, if nobody has said so since the caller looked.
-- KEYS: 1 the hash
-- ARGV: 1 version the caller saw, empty for none; 2 version, 3 digest, 4 content
-- Answers {'ok'} or {'moved'}; the latter writes nothing.
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then
  return {'moved'}
end
redis.call('DEL', KEYS[1]) -- first write: after it the script also works at maxmemory
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'digest', ARGV[3], 'content', ARGV[4])
return {'ok'}
