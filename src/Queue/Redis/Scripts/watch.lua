-- Events of a job from a sequence number on, and whether more may come.
--
-- ARGV[2] job id  [3] first sequence number  [4] how many at most
-- Returns 1 if the job has ended (0 if not) and the stream's entries; nil if there is no such job.

local id, from, count = unpack(ARGV, 2)
local state = get(id, 'state')
if not state then return nil end
return { is_end(state) and 1 or 0, redis.call('XRANGE', key('events:' .. id), from .. '-0', '+', 'COUNT', count) }
