-- Deletes an ended job before its retention time is over, and wakes the readers of its events, which then fail.
--
-- ARGV[2] job id
-- Returns 1; 0 if it has not ended; nil if there is no such job.

local id = ARGV[2]
local owner = get(id, 'owner')
if not owner then return again and 1 or nil end
if not is_end(get(id, 'state')) then return 0 end
delete_job(id, owner)
redis.call('PUBLISH', key('news'), id)
return 1
