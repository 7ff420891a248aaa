-- Accepts a job: checks the quota, adds the job to the fair-share queue, publishes its RECEIVED and QUEUED events and wakes the workers.
-- Submitting a known job id changes nothing.
--
-- ARGV[2] job id  [3] owner  [4] model  [5] program  [6] cost/weight  [7] weight  [8] cost  [9] time limit in ms, or ''
--     [10] trace parent, or ''  [11] maximum result bytes, or ''
--     [12] the quota, or '': jobs in flight  [13] jobs per minute  [14] waiting jobs of the owner  [15] waiting jobs of all owners
--     [16] the SHA-256 of the program  [17] a notice for the queued job, or ''  [18] the limits of stored bytes, or ''
-- Returns one of:
--   the job's row and whether it is new;
--   'OTHER' if the id belongs to another owner; 'REUSED' if the owner has used it for another program; 'CLOSED' if the owner's key was
--   revoked;
--   if the quota is exceeded: the name of the limit, the current count, the limit, the wait in ms (for the rate limit), the mean duration
--   of the model in ms, the number of its running jobs. For a limit of stored bytes only the first three.

local id, owner, model, program, share, weight, cost, limit, trace, most, in_flight, a_minute, own, depth, hash,
  notice, storage = unpack(ARGV, 2)
local known = get(id, 'owner')
if known and known ~= owner then return 'OTHER' end
if known then
  local before = get(id, 'hash')
  if before and before ~= hash then return 'REUSED' end
  return { read_job(id), 0 }
end
if is_closed(owner) then return 'CLOSED' end

local recent = key('recent:' .. owner)
redis.call('ZREMRANGEBYSCORE', recent, '-inf', now - 60000)
redis.call('ZREMRANGEBYSCORE', recent, '(' .. string.format('%.0f', now), '+inf') -- of a clock that was ahead
if in_flight ~= '' then -- the same order as in QuotaRules.cs
  local function over(bound, count, limited, wait)
    local pace, running = redis.call('HGET', key('pace'), model), redis.call('HGET', key('running'), model)
    return { bound, count, limited, wait or 0, pace or '0', running or '0' }
  end
  local active = redis.call('ZCARD', key('active:' .. owner))
  if active >= tonumber(in_flight) then return over('active', active, in_flight) end
  local count = redis.call('ZCARD', recent)
  if count >= tonumber(a_minute) then
    local first = redis.call('ZRANGE', recent, count - a_minute, count - a_minute, 'WITHSCORES')
    return over('recent', count, a_minute, first[2] + 60000 - now)
  end
  local mine, all = 0, 0
  for _, waited in ipairs(redis.call('SMEMBERS', key('models'))) do
    mine = mine + redis.call('ZCARD', share_key(waited, owner))
    all = all + redis.call('ZCARD', key('waiting:' .. waited))
  end
  if mine >= tonumber(own) then return over('own', mine, own) end
  if all >= tonumber(depth) then return over('all', all, depth) end
end

local exceeded = find_exceeded_storage(owner, storage, #program + JOB_BYTES, 1)
if exceeded then return exceeded end

local number = redis.call('INCR', key('number'))
local member = string.format('%016d:%s', number, id) -- of equal tags the older submission is first
local clock = tonumber(redis.call('HGET', key('clock'), model) or '0')
local finish = tonumber(redis.call('ZSCORE', key('finish:' .. model), owner) or '0')
local tag = math.max(finish, clock)
redis.call('ZADD', recent, now, number)
redis.call('PEXPIRE', recent, 60000)
redis.call('ZADD', key('finish:' .. model), tag + share, owner)
redis.call('ZADD', key('waiting:' .. model), tag, member)
redis.call('ZADD', share_key(model, owner), tag, member)
redis.call('SADD', key('models'), model)

redis.call('HSET', job_key(id), 'owner', owner, 'model', model, 'program', program, 'share', share, 'weight', weight, 'cost', cost,
  'limit', limit, 'trace', trace, 'most', most, 'submitted', now, 'member', member,
  'hash', hash, 'notice', notice or '', 'storage', storage or '')
count_bytes_of_job(id, 'queue_bytes', #program + JOB_BYTES)
redis.call('ZADD', key('all'), number, id)
redis.call('ZADD', key('unended'), number, id)
redis.call('ZADD', key('jobs:' .. owner), number, id)
redis.call('ZADD', key('active:' .. owner), number, id)
change_state(id, RECEIVED)
publish_queued(id, model)
return { read_job(id), 1 }
