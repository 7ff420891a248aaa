-- Accepts a job: its place in the line by fair share, its RECEIVED and QUEUED events, a wake-up for the workers.
-- A job id that is known already changes nothing.
--
-- ARGV[2] job id  [3] owner  [4] model  [5] program  [6] cost/weight  [7] weight  [8] cost  [9] time limit in ms, or ''
--     [10] trace parent, or ''  [11] the most result bytes, or ''
--     [12] the quota, or '': jobs in flight  [13] a minute  [14] of the owner that wait  [15] of all that wait
-- Returns the job's row and whether it is new; 'OTHER' if the id is another owner's; which bound of the quota is reached, the number
-- there, the bound, the wait in ms if it is the rate's, the model's mean duration in ms and how many of it run.

local id, owner, model, program, share, weight, cost, limit, trace, most, in_flight, a_minute, own, depth = unpack(ARGV, 2)
local known = get(id, 'owner')
if known and known ~= owner then return 'OTHER' end
if known then return { row(id), 0 } end

local recent = key('recent:' .. owner)
redis.call('ZREMRANGEBYSCORE', recent, '-inf', now - 60000)
if in_flight ~= '' then -- in the order of QuotaRules.cs
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

local number = redis.call('INCR', key('number'))
local member = string.format('%016d:%s', number, id) -- equal tags: the older first
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
  'limit', limit, 'trace', trace, 'most', most, 'submitted', now, 'member', member)
redis.call('ZADD', key('jobs:' .. owner), number, id)
redis.call('ZADD', key('active:' .. owner), number, id)
change_state(id, RECEIVED)
announce_queued(id, model)
return { row(id), 1 }
