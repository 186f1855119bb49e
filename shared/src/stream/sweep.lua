-- Takes the consumers out of the group that have nothing pending and gave no sign for long, and
-- gives a sign of one's own. With entries pending a consumer stays: they would go with it.
-- KEYS: 1 stream   ARGV: 1 group, 2 own name, 3 how long without a sign, in ms
-- Answers the names of those taken out.
local gone = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for i = 1, #consumer, 2 do
    fields[consumer[i]] = consumer[i + 1]
  end
  local name = fields['name']
  if fields['pending'] == 0 then
    if name == ARGV[2] then
      -- Made anew, it is as young as can be. Deleting comes first: it also works at maxmemory.
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
      redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], name)
    elseif fields['idle'] >= tonumber(ARGV[3]) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
      gone[#gone + 1] = name
    end
  end
end
return gone
