-- Stores the client's answer to a local request, for the worker that waits or will wait for it. Only the first answer counts.
--
-- ARGV[2] job id  [3] ticket  [4] reply, serialized
-- Returns 1; nil if there is no such job; if the owner may not store the answer: the name of the limit, the stored bytes and the limit.

local id, ticket, reply = unpack(ARGV, 2)
local state = get(id, 'state')
if not state then return nil end
if not is_end(state) then
  local bytes = #reply + EVENT_BYTES
  if redis.call('HEXISTS', key('replies:' .. id), ticket) == 0 then
    local exceeded = find_exceeded_storage(get(id, 'owner'), get(id, 'storage'), bytes, 0)
    if exceeded then return exceeded end
    redis.call('HSET', key('replies:' .. id), ticket, reply)
    redis.call('HINCRBY', job_key(id), 'reply_bytes', bytes)
    count_bytes_of_job(id, 'queue_bytes', bytes)
  end
  redis.call('PUBLISH', key('replied'), id .. ' ' .. ticket)
end
return 1
