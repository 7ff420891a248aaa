-- Returns the edits that an owner may use: its own, then those of others that every key may use. A gateway of an earlier version writes no
-- summaries: one may be missing, and one of deleted edits may be left. So the names are those of the edits, and edits without a summary
-- are returned with their blobs.
--
-- ARGV[2] owner
-- Returns the edits, serialized.

local owner, listed = ARGV[2], {}

local function add(publisher, name)
  if redis.call('HEXISTS', key('edits:' .. publisher), name) == 0 then return end
  listed[#listed + 1] = redis.call('HGET', key('edit_summaries:' .. publisher), name)
    or redis.call('HGET', key('edits:' .. publisher), name)
end

local summaries = redis.call('HGETALL', key('edit_summaries:' .. owner))
for i = 1, #summaries, 2 do add(owner, summaries[i]) end
if #listed < redis.call('HLEN', key('edits:' .. owner)) then -- all names are read with the edits, which are large
  listed = {}
  local own = redis.call('HGETALL', key('edits:' .. owner))
  for i = 1, #own, 2 do add(owner, own[i]) end
end
local public = redis.call('HGETALL', key('public_edits'))
for i = 1, #public, 2 do
  if public[i + 1] ~= owner then add(public[i + 1], public[i]) end
end
return listed
