-- The shared part of all scripts; RedisScript.cs puts it before each of them. Redis runs a script atomically: what a script has checked
-- is still true when it writes.
--
-- KEYS[1]  the prefix of all keys. The keys that a script uses depend on the data (a lease finds its job), so the caller cannot pass
--          them; RedisKeys.cs lists them. All of them are on one Redis server, so Redis Cluster is not supported.
-- ARGV[1]  '1' if this is a retry of a call that may have been executed although its reply did not arrive, else '0'

local prefix, again = KEYS[1], ARGV[1] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) -- milliseconds

local RECEIVED, QUEUED, COMPLETED, FAILED, CANCELLED = 1, 2, 5, 6, 7 -- ndif.v1.JobState

local function key(name) return prefix .. name end
local function job_key(id) return prefix .. 'job:' .. id end
-- Returns a field of a job. All fields of a job that Redis has evicted are nil; a script then treats it as a job that does not exist.
local function get(id, field) return redis.call('HGET', job_key(id), field) end
local function is_end(state) return tonumber(state) >= COMPLETED end
-- Returns whether the owner's key was revoked: it may add nothing any more.
local function is_closed(owner) return redis.call('HEXISTS', key('closed'), owner) == 1 end

-- ---- the bytes that owners store; Memory/InMemoryStorageAccounts.cs is the same in C# ----

-- What Redis needs for a job, an event and an upload beyond their own bytes: measured (docs/operating/sizing.md).
local JOB_BYTES, EVENT_BYTES, UPLOAD_BYTES = 4096, 160, 320

-- Adds to a count of an owner, and to that of all owners. kind: 'queue_bytes' or 'blob_bytes'.
local function count_bytes(kind, owner, bytes)
  if bytes == 0 then return end
  if redis.call('HINCRBY', key(kind), owner, bytes) <= 0 then redis.call('HDEL', key(kind), owner) end
  redis.call('HINCRBY', key('totals'), kind, bytes)
end

-- Adds to a count of a job, which is subtracted again when the job is deleted.
local function count_bytes_of_job(id, kind, bytes)
  redis.call('HINCRBY', job_key(id), kind, bytes)
  count_bytes(kind, get(id, 'owner'), bytes)
end

-- Returns the name of the first limit that more bytes would exceed, the bytes that are stored, and the limit; or nil.
-- limits: bytes in the queue of the owner, of all, bytes of blobs of the owner, of all; '' for no limits (StorageLimits.cs).
local function find_exceeded_storage(owner, limits, more_queue_bytes, more_blob_bytes)
  local queue, blobs, all_queue, all_blobs = string.match(limits or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not queue then return nil end
  local function exceeds(name, used, limit, more)
    if tonumber(used or '0') + more > tonumber(limit) then return { name, used or '0', limit } end
  end
  local all = redis.call('HMGET', key('totals'), 'queue_bytes', 'blob_bytes')
  return exceeds('queue_bytes', redis.call('HGET', key('queue_bytes'), owner), queue, more_queue_bytes)
    or exceeds('blob_bytes', redis.call('HGET', key('blob_bytes'), owner), blobs, more_blob_bytes)
    or exceeds('all_queue_bytes', all[1], all_queue, more_queue_bytes)
    or exceeds('all_blob_bytes', all[2], all_blobs, more_blob_bytes)
end

-- Stores what lists and quotas need of published edits: the edits without their blobs, and the bytes that count. '' and 0 if they are
-- deleted.
local function set_edits_summary(owner, name, summary, bytes)
  local summaries, entry = key('edit_summaries:' .. owner), owner .. ' ' .. name
  count_bytes('queue_bytes', owner, bytes - (redis.call('HGET', key('edit_bytes'), entry) or 0))
  redis.call('HDEL', key('public_edit_summaries'), name) -- an earlier version reads the edits where there is none
  if summary == '' then
    redis.call('HDEL', summaries, name)
    redis.call('HDEL', key('edit_bytes'), entry)
  else
    redis.call('HSET', summaries, name, summary)
    redis.call('HSET', key('edit_bytes'), entry, bytes)
  end
end

-- Deletes the answers that were sent to a job.
local function delete_replies(id)
  redis.call('DEL', key('replies:' .. id))
  local bytes = get(id, 'reply_bytes')
  if not bytes then return end
  redis.call('HDEL', job_key(id), 'reply_bytes')
  count_bytes_of_job(id, 'queue_bytes', -bytes)
end

-- Appends an event to a job's stream under the next sequence number, which it returns, and wakes its readers.
local function append(id, ...)
  local sequence = redis.call('HINCRBY', job_key(id), 'sequence', 1)
  local bytes = EVENT_BYTES
  for _, field in ipairs({ ... }) do bytes = bytes + #tostring(field) end
  count_bytes_of_job(id, 'queue_bytes', bytes)
  redis.call('XADD', key('events:' .. id), sequence .. '-0', 'time', now, ...)
  redis.call('PUBLISH', key('news'), id)
  return sequence
end

local function change_state(id, state, ...)
  redis.call('HSET', job_key(id), 'state', state)
  append(id, 'state', state, ...)
end

-- Returns true if this fencing token is still valid; the token of a worker that lost the job is not.
local function is_token_valid(id, token) return get(id, 'token') == token end

-- ---- the fair-share queue of a model; Memory/FairShareQueue.cs is the same in C# ----

local function share_key(model, owner) return key('share:' .. model .. ' ' .. owner) end

-- Returns the position (counted from 1) and the estimated wait in milliseconds of a waiting job.
local function queue_position(id, model)
  local rank = redis.call('ZRANK', key('waiting:' .. model), get(id, 'member'))
  if not rank then return 0, 0 end
  local mean_duration = tonumber(redis.call('HGET', key('pace'), model) or '0')
  local running = tonumber(redis.call('HGET', key('running'), model) or '0')
  return rank + 1, (rank + 1) * mean_duration / math.max(1, running)
end

-- The notice says why the job may have to wait for long; it is a field of the job, and empty for none.
local function publish_position(id, position, wait)
  redis.call('HSET', job_key(id), 'told', position, 'told_at', now)
  change_state(id, QUEUED, 'position', position, 'wait', wait, 'attempt', get(id, 'attempt') or 0, 'notice', get(id, 'notice') or '')
end

local function publish_queued(id, model)
  publish_position(id, queue_position(id, model))
  redis.call('PUBLISH', key('work'), model)
end

local function remove_from_queue(model, owner, member)
  redis.call('ZREM', key('waiting:' .. model), member)
  redis.call('ZREM', share_key(model, owner), member)
  if redis.call('EXISTS', key('waiting:' .. model)) == 0 then redis.call('SREM', key('models'), model) end
end

-- Queues a job that was leased before. Its owner was already charged.
local function requeue(id, model, tag)
  redis.call('HDEL', job_key(id), 'worker')
  delete_replies(id) -- the next attempt sends its requests again
  redis.call('ZADD', key('waiting:' .. model), tag, get(id, 'member'))
  redis.call('SADD', key('models'), model)
  publish_queued(id, model)
end

-- Queues a job that lost its worker in front of all others.
local function requeue_first(id, model) requeue(id, model, '-inf') end

-- Moves the start tags of an owner's jobs from a rank on, and its finish tag.
local function move_tags(model, owner, from_rank, by)
  local mine = share_key(model, owner)
  local later = redis.call('ZRANGE', mine, from_rank, -1, 'WITHSCORES')
  for from = 1, #later, 1000 do -- the number of arguments of one call is limited
    local moved = {}
    for i = from, math.min(from + 999, #later), 2 do moved[#moved + 1], moved[#moved + 2] = later[i + 1] + by, later[i] end
    redis.call('ZADD', mine, unpack(moved))
    redis.call('ZADD', key('waiting:' .. model), unpack(moved))
  end
  local finish = redis.call('ZSCORE', key('finish:' .. model), owner)
  if finish then redis.call('ZADD', key('finish:' .. model), finish + by, owner) end
end

-- Queues a job that its worker has given back: it gets the place of its owner's next job, and the owner's later jobs move back, as the
-- worker's time for it was service too.
local function requeue_in_turn(id, model)
  local owner, share = get(id, 'owner'), get(id, 'share')
  local first = redis.call('ZRANGE', share_key(model, owner), 0, 0, 'WITHSCORES')
  local finish = math.max(tonumber(redis.call('ZSCORE', key('finish:' .. model), owner) or '0'),
    tonumber(redis.call('HGET', key('clock'), model) or '0'))
  redis.call('ZADD', key('finish:' .. model), finish, owner)
  move_tags(model, owner, 0, share)
  requeue(id, model, tonumber(first[2]) or finish)
end

-- Resets virtual time when no job of the model waits or runs: there is no contention to be fair about.
local function reset_if_idle(model)
  if redis.call('EXISTS', key('waiting:' .. model)) == 1 or redis.call('HEXISTS', key('running'), model) == 1 then return end
  redis.call('DEL', key('finish:' .. model))
  redis.call('HDEL', key('clock'), model)
end

-- ---- leases and terminal states ----

local function release(id, model)
  redis.call('ZREM', key('leased'), id)
  redis.call('HDEL', job_key(id), 'token')
  if redis.call('HINCRBY', key('running'), model, -1) <= 0 then redis.call('HDEL', key('running'), model) end
end

local function publish_lease_lost(id, token) redis.call('PUBLISH', key('lost'), id .. ' ' .. token) end

-- Adds an ended job to its owner's usage of the day. Only the script that ends a job calls this, so each job is counted once.
local function charge(owner, model, state, tokens, passes, ms, bytes)
  local day = math.floor(now / 86400000)
  local kept = 400 * 86400 -- seconds; UsageAccounting.RetentionDays
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

-- Completes the transition to a terminal state, after its event: records usage, updates totals, and schedules the deletion by reap.lua.
local function end_job(id, model, state, keep_program, tokens, passes, ms, bytes, is_timeout)
  local owner = get(id, 'owner')
  charge(owner, model, state, tokens or 0, passes or 0, ms or 0, bytes or 0)
  redis.call('HSET', job_key(id), 'ended', now)
  if not keep_program then
    local program = get(id, 'program')
    redis.call('HDEL', job_key(id), 'program')
    if program and get(id, 'storage') then count_bytes_of_job(id, 'queue_bytes', -#program) end
  end
  delete_replies(id)
  redis.call('DEL', key('followers:' .. id))
  redis.call('ZREM', key('active:' .. owner), id)
  redis.call('ZREM', key('unended'), id)
  redis.call('ZADD', key('ended'), now, id .. ' ' .. owner)
  redis.call('HINCRBY', key('totals'), state == COMPLETED and 'completed' or state == FAILED and 'failed' or 'cancelled', 1)
  if is_timeout then redis.call('HINCRBY', key('totals'), 'timed_out', 1) end
  reset_if_idle(model)
end

-- Deletes what is kept of an ended job. Its blobs are deleted by a gateway, which finds them in a list that the set 'unused' names.
local function delete_job(id, owner)
  local job = redis.call('HMGET', job_key(id), 'queue_bytes', 'blob_bytes', 'member')
  count_bytes('queue_bytes', owner, -(job[1] or 0))
  count_bytes('blob_bytes', owner, -(job[2] or 0))
  if job[3] and redis.call('EXISTS', key('blobs:' .. id)) == 1 then
    redis.call('RENAME', key('blobs:' .. id), key('blobs:' .. job[3]))
    redis.call('ZADD', key('unused'), now, job[3] .. ' ' .. owner)
  end
  redis.call('DEL', job_key(id), key('events:' .. id), key('replies:' .. id), key('followers:' .. id))
  redis.call('ZREM', key('jobs:' .. owner), id)
  redis.call('ZREM', key('all'), id)
  redis.call('ZREM', key('dead'), id)
  redis.call('ZREM', key('ended'), id .. ' ' .. owner)
end

-- Raises the sequence number of a job whose events a reader or the worker knows and the store has lost, because it was restored to an
-- earlier state: no number is given twice.
local function skip_lost_events(id, known)
  local sequence = tonumber(get(id, 'sequence') or '0')
  if sequence >= known then return false end
  redis.call('HSET', job_key(id), 'sequence', string.format('%.0f', known), 'restored', 1)
  return true
end

-- Returns a job as RedisJobReader.cs reads it, or nil.
local function read_job(id)
  local fields = redis.call('HMGET', job_key(id), 'model', 'state', 'submitted', 'started', 'ended', 'attempt', 'deaths', 'worker',
    'error', 'usage', 'sequence', 'owner', 'notice')
  if not fields[1] then return nil end
  local position, wait = queue_position(id, fields[1])
  fields[14], fields[15], fields[16] = position, string.format('%.0f', wait), id
  return fields
end
