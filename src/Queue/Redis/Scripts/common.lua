-- What the scripts share; RedisScripts.cs puts it before each of them. Every script runs alone and as a whole: what it checks
-- still holds when it writes.
--
-- KEYS[1]  the deployment's prefix. Which keys a script touches follows from the data (a lease finds its job), so they cannot be
--          named in advance; RedisKeys.cs lists them. All of them lie on one Redis.
-- ARGV[1]  '1' if this is a second try and the first may have been done without its reply arriving, else '0'

local prefix, again = KEYS[1], ARGV[1] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) -- milliseconds

local RECEIVED, QUEUED, COMPLETED, FAILED, CANCELLED = 1, 2, 5, 6, 7 -- ndif.v1.JobState

local function key(name) return prefix .. name end
local function job_key(id) return prefix .. 'job:' .. id end
local function get(id, field) return redis.call('HGET', job_key(id), field) end
local function is_end(state) return tonumber(state) >= COMPLETED end

-- Appends an event to a job's stream under the next sequence number, and tells the watchers.
local function append(id, ...)
  local sequence = redis.call('HINCRBY', job_key(id), 'sequence', 1)
  redis.call('XADD', key('events:' .. id), sequence .. '-0', 'time', now, ...)
  redis.call('PUBLISH', key('news'), id)
end

local function change_state(id, state, ...)
  redis.call('HSET', job_key(id), 'state', state)
  append(id, 'state', state, ...)
end

-- True if this token still holds the job: the fence that a worker who lost it cannot pass.
local function holds(id, token) return get(id, 'token') == token end

-- ---- the line of a model; Memory/FairShare.cs is the same in C# ----

local function share_key(model, owner) return key('share:' .. model .. ' ' .. owner) end

-- Position (counted from 1) and estimated wait in milliseconds of a waiting job.
local function place(id, model)
  local rank = redis.call('ZRANK', key('waiting:' .. model), get(id, 'member'))
  if not rank then return 0, 0 end
  local pace = tonumber(redis.call('HGET', key('pace'), model) or '0')
  local running = tonumber(redis.call('HGET', key('running'), model) or '0')
  return rank + 1, (rank + 1) * pace / math.max(1, running)
end

local function tell_position(id, position, wait)
  redis.call('HSET', job_key(id), 'told', position, 'told_at', now)
  change_state(id, QUEUED, 'position', position, 'wait', wait, 'attempt', get(id, 'attempt') or 0)
end

local function announce_queued(id, model)
  tell_position(id, place(id, model))
  redis.call('PUBLISH', key('work'), model)
end

local function leave_line(model, owner, member)
  redis.call('ZREM', key('waiting:' .. model), member)
  redis.call('ZREM', share_key(model, owner), member)
  if redis.call('EXISTS', key('waiting:' .. model)) == 0 then redis.call('SREM', key('models'), model) end
end

local function to_front(id, model)
  redis.call('HDEL', job_key(id), 'worker')
  redis.call('DEL', key('replies:' .. id)) -- the next attempt asks again
  redis.call('ZADD', key('waiting:' .. model), '-inf', get(id, 'member'))
  redis.call('SADD', key('models'), model)
  announce_queued(id, model)
end

-- With nobody waiting and nobody served, nobody is owed anything.
local function forget_if_idle(model)
  if redis.call('EXISTS', key('waiting:' .. model)) == 1 or redis.call('HEXISTS', key('running'), model) == 1 then return end
  redis.call('DEL', key('finish:' .. model))
  redis.call('HDEL', key('clock'), model)
end

-- ---- leases and ends ----

local function release(id, model)
  redis.call('ZREM', key('leased'), id)
  redis.call('HDEL', job_key(id), 'token')
  if redis.call('HINCRBY', key('running'), model, -1) <= 0 then redis.call('HDEL', key('running'), model) end
end

local function tell_lost(id, token) redis.call('PUBLISH', key('lost'), id .. ' ' .. token) end

-- Adds an ended job to its owner's account of the day. Each job comes here once: from the script that ends it.
local function charge(owner, model, state, tokens, passes, ms, bytes)
  local day = math.floor(now / 86400000)
  local kept = 400 * 86400 -- seconds; Accounts.KeptDays
  local account = key('usage:' .. day .. ' ' .. owner)
  local function add(what, amount)
    if tonumber(amount) > 0 then redis.call('HINCRBY', account, what .. ' ' .. model, amount) end
  end
  add('jobs', 1)
  add(state == COMPLETED and 'completed' or state == FAILED and 'failed' or 'cancelled', 1)
  add('tokens', tokens)
  add('passes', passes)
  add('ms', ms)
  add('bytes', bytes)
  redis.call('SADD', key('usage:' .. day), owner)
  redis.call('EXPIRE', account, kept)
  redis.call('EXPIRE', key('usage:' .. day), kept)
end

-- What follows from an end state, after its event: the account, counts, and a note for reap.lua to forget the job in time.
local function ended(id, model, state, keep_program, tokens, passes, ms, bytes)
  local owner = get(id, 'owner')
  charge(owner, model, state, tokens or 0, passes or 0, ms or 0, bytes or 0)
  redis.call('HSET', job_key(id), 'ended', now)
  if not keep_program then redis.call('HDEL', job_key(id), 'program') end
  redis.call('DEL', key('replies:' .. id))
  redis.call('ZREM', key('active:' .. owner), id)
  redis.call('ZADD', key('ended'), now, id .. ' ' .. owner)
  if state == COMPLETED then redis.call('HINCRBY', key('totals'), 'completed', 1) end
  if state == FAILED then redis.call('HINCRBY', key('totals'), 'failed', 1) end
  forget_if_idle(model)
end

-- A job as RedisJobReader.cs reads it, or nil.
local function row(id)
  local fields = redis.call('HMGET', job_key(id), 'model', 'state', 'submitted', 'started', 'ended', 'attempt', 'deaths', 'worker',
    'error', 'usage', 'sequence')
  if not fields[1] then return nil end
  local position, wait = place(id, fields[1])
  fields[12], fields[13], fields[14] = position, string.format('%.0f', wait), id
  return fields
end
