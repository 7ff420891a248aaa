-- Returns the client's answer to a local request, if it has arrived and the lease is still valid. It is deleted when the next answer is
-- taken, so that a retry returns it again.
--
-- ARGV[2] job id  [3] token  [4] ticket
-- Returns the reply, serialized; 0 if there is none yet; -1 if the lease was lost.

local id, token, ticket = unpack(ARGV, 2)
if not is_token_valid(id, token) then return -1 end
local reply = redis.call('HGET', key('replies:' .. id), ticket)
if not reply then return 0 end
local before = redis.call('HGET', key('replies:' .. id), 'taken')
if before and before ~= ticket then
  local bytes = #(redis.call('HGET', key('replies:' .. id), before) or '') + EVENT_BYTES
  redis.call('HDEL', key('replies:' .. id), before)
  redis.call('HINCRBY', job_key(id), 'reply_bytes', -bytes)
  count_bytes_of_job(id, 'queue_bytes', -bytes)
end
redis.call('HSET', key('replies:' .. id), 'taken', ticket)
return reply
