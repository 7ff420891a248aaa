-- Adds or replaces published edits. Memory/InMemoryPublishedEdits.cs is the same in C#. The script is idempotent.
--
-- ARGV[2] owner  [3] name  [4] the edits  [5] '1' if every key may use them, else '0'  [6] the most that an owner may have
-- Returns 1; 'taken' if another owner has published the name for every key; 'full' if the owner has too many.

local owner, name, edits, is_public, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])
local own, public = key('edits:' .. owner), key('public_edits')
local holder = redis.call('HGET', public, name)
if is_public and holder and holder ~= owner then return 'taken' end
if redis.call('HEXISTS', own, name) == 0 and redis.call('HLEN', own) >= most then return 'full' end
redis.call('HSET', own, name, edits)
redis.call('SADD', key('publishers'), owner)
if is_public then redis.call('HSET', public, name, owner)
elseif holder == owner then redis.call('HDEL', public, name) end
return 1
