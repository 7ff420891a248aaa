-- Accepts a job: its place in the line by fair share, its RECEIVED and QUEUED events, a wake-up for the workers.
-- A job id that is known already changes nothing.
--
-- ARGV[2] job id  [3] owner  [4] model  [5] program  [6] cost/weight  [7] weight  [8] cost  [9] time limit in ms, or ''
--     [10] trace parent, or ''
-- Returns the job's row; 'OTHER' if the id is another owner's. Its third value says whether the job is new.

local id, owner, model, program, share, weight, cost, limit, trace = unpack(ARGV, 2)
local known = get(id, 'owner')
if known and known ~= owner then return 'OTHER' end
if known then return { row(id), 0 } end

local number = redis.call('INCR', key('number'))
local member = string.format('%016d:%s', number, id) -- equal tags: the older first
local clock = tonumber(redis.call('HGET', key('clock'), model) or '0')
local finish = tonumber(redis.call('ZSCORE', key('finish:' .. model), owner) or '0')
local tag = math.max(finish, clock)
redis.call('ZADD', key('finish:' .. model), tag + share, owner)
redis.call('ZADD', key('waiting:' .. model), tag, member)
redis.call('ZADD', share_key(model, owner), tag, member)
redis.call('SADD', key('models'), model)

redis.call('HSET', job_key(id), 'owner', owner, 'model', model, 'program', program, 'share', share, 'weight', weight, 'cost', cost,
  'limit', limit, 'trace', trace, 'submitted', now, 'member', member)
redis.call('ZADD', key('jobs:' .. owner), number, id)
redis.call('ZADD', key('active:' .. owner), number, id)
change_state(id, RECEIVED)
announce_queued(id, model)
return { row(id), 1 }
