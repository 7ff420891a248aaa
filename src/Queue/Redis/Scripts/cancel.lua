-- Ends a job as CANCELLED. A waiting job is removed from the queue and its cost is refunded: the start tags of its owner's later jobs
-- decrease by it. A running job loses its lease. An ended job is not changed.
--
-- ARGV[2] job id  [3] error, serialized  [4] a follower that leaves, or ''. If it is given, the job is cancelled only if nobody else
--     follows it: a follower is a gateway, and counts until its time is over, because a gateway may end without a word.
-- Returns the job's row and whether this call ended it, or nil if there is no such job.

local id, error, follower = unpack(ARGV, 2)
local owner = get(id, 'owner')
if not owner then return nil end
if is_end(get(id, 'state')) then return { read_job(id), 0 } end
if follower and follower ~= '' then
  redis.call('ZREM', key('followers:' .. id), follower)
  redis.call('ZREMRANGEBYSCORE', key('followers:' .. id), '-inf', now)
  if redis.call('EXISTS', key('followers:' .. id)) == 1 then return { read_job(id), 0 } end
end

local ms = 0
local model, member, token = get(id, 'model'), get(id, 'member'), get(id, 'token')
if token then
  ms = math.max(0, now - get(id, 'started'))
  release(id, model)
  publish_lease_lost(id, token)
else
  local mine = share_key(model, owner)
  local rank = redis.call('ZRANK', mine, member) -- nil if the job was leased before: then its owner was already charged
  if rank then move_tags(model, owner, rank + 1, -get(id, 'share')) end
  remove_from_queue(model, owner, member)
end
redis.call('HSET', job_key(id), 'error', error)
change_state(id, CANCELLED, 'error', error, 'attempt', get(id, 'attempt') or 0)
end_job(id, model, CANCELLED, false, 0, 0, ms)
return { read_job(id), 1 }
