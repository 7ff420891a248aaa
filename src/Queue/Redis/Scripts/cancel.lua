-- Ends a job as CANCELLED. A waiting job is removed from the queue and its cost is refunded: the start tags of its owner's later jobs
-- decrease by it. A running job loses its lease. An ended job is not changed.
--
-- ARGV[2] job id  [3] error, serialized
-- Returns the job's row and whether this call ended it, or nil if there is no such job.

local id, error = unpack(ARGV, 2)
local owner = get(id, 'owner')
if not owner then return nil end
if is_end(get(id, 'state')) then return { read_job(id), 0 } end

local ms = 0
local model, member, token = get(id, 'model'), get(id, 'member'), get(id, 'token')
if token then
  ms = math.max(0, now - get(id, 'started'))
  release(id, model)
  publish_lease_lost(id, token)
else
  local mine = share_key(model, owner)
  local rank = redis.call('ZRANK', mine, member) -- nil if the job was leased before: then its owner was already charged
  if rank then
    local share = get(id, 'share')
    local later = redis.call('ZRANGE', mine, rank + 1, -1, 'WITHSCORES')
    for from = 1, #later, 1000 do -- the number of arguments of one call is limited
      local moved = {}
      for i = from, math.min(from + 999, #later), 2 do moved[#moved + 1], moved[#moved + 2] = later[i + 1] - share, later[i] end
      redis.call('ZADD', mine, unpack(moved))
      redis.call('ZADD', key('waiting:' .. model), unpack(moved))
    end
    local finish = redis.call('ZSCORE', key('finish:' .. model), owner)
    if finish then redis.call('ZADD', key('finish:' .. model), finish - share, owner) end
  end
  remove_from_queue(model, owner, member)
end
redis.call('HSET', job_key(id), 'error', error)
change_state(id, CANCELLED, 'error', error, 'attempt', get(id, 'attempt') or 0)
end_job(id, model, CANCELLED, false, 0, 0, ms)
return { read_job(id), 1 }
