-- Deletes published edits. Memory/InMemoryPublishedEdits.cs is the same in C#.
--
-- ARGV[2] owner  [3] name
-- Returns 1 if the owner had edits of this name, else 0; a retry of a call that may have deleted them returns 1.

local owner, name = ARGV[2], ARGV[3]
local own, public = key('edits:' .. owner), key('public_edits')
local deleted = redis.call('HDEL', own, name)
if redis.call('HGET', public, name) == owner then redis.call('HDEL', public, name) end
set_edits_summary(owner, name, '', 0)
if redis.call('HLEN', own) == 0 then redis.call('SREM', key('publishers'), owner) end
if again then return 1 end
return deleted
