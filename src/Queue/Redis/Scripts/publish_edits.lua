-- Adds or replaces published edits. Memory/InMemoryPublishedEdits.cs is the same in C#. The script is idempotent.
--
-- ARGV[2] owner  [3] name  [4] the edits  [5] '1' if every key may use them, else '0'  [6] the most that an owner may have
--     [7] the edits without their blobs  [8] their bytes, as they count  [9] the limits of stored bytes, or ''
-- Returns 1; 'closed' if the owner's key was revoked; 'taken' if another owner has published the name for every key; 'full' if the owner
-- has too many; if the owner may not store them: the name of the limit, the stored bytes and the limit.

local owner, name, edits, is_public, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])
local summary, bytes, limits = ARGV[7], ARGV[8], ARGV[9]
local own, public = key('edits:' .. owner), key('public_edits')
if is_closed(owner) then return 'closed' end
local holder = redis.call('HGET', public, name)
if is_public and holder and holder ~= owner then return 'taken' end
if redis.call('HEXISTS', own, name) == 0 and redis.call('HLEN', own) >= most then return 'full' end
local more = bytes - (redis.call('HGET', key('edit_bytes'), owner .. ' ' .. name) or 0)
local exceeded = more > 0 and find_exceeded_storage(owner, limits, more, 0)
if exceeded then return exceeded end
redis.call('HSET', own, name, edits)
set_edits_summary(owner, name, summary, bytes)
redis.call('SADD', key('publishers'), owner)
if is_public then
  redis.call('HSET', public, name, owner)
elseif holder == owner then
  redis.call('HDEL', public, name)
end
return 1
