-- Stores the client's answer to a local request, for the worker that waits or will wait for it. Only the first answer counts.
--
-- ARGV[2] job id  [3] ticket  [4] reply, serialized
-- Returns 1, or nil if there is no such job.

local id, ticket, reply = unpack(ARGV, 2)
local state = get(id, 'state')
if not state then return nil end
if not is_end(state) then
  redis.call('HSETNX', key('replies:' .. id), ticket, reply)
  redis.call('PUBLISH', key('replied'), id .. ' ' .. ticket)
end
return 1
