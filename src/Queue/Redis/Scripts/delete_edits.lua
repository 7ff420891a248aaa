-- Deletes published edits. Memory/InMemoryPublishedEdits.cs is the same in C#.
--
-- ARGV[2] owner  [3] name
-- Returns 1 if the owner had edits of this name, else 0; a retry of a call that may have deleted them returns 1.

local owner, name = ARGV[2], ARGV[3]
local own, public, entry = key('edits:' .. owner), key('public_edits'), owner .. ' ' .. name
local deleted = redis.call('HDEL', own, name)
if redis.call('HGET', public, name) == owner then
  redis.call('HDEL', public, name)
  redis.call('HDEL', key('public_edit_summaries'), name)
end
redis.call('HDEL', key('edit_summaries:' .. owner), name)
count_bytes('queue_bytes', owner, -(redis.call('HGET', key('edit_bytes'), entry) or 0))
redis.call('HDEL', key('edit_bytes'), entry)
if redis.call('HLEN', own) == 0 then redis.call('SREM', key('publishers'), owner) end
if again then return 1 end
return deleted
