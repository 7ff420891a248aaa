-- Leases the next job of one of these models to a worker, with a deadline and a fencing token that is larger than all earlier ones. The
-- token consists of the time in ms and ten bits of the request, so that none is given twice, even if Redis was restored to an earlier
-- state. From the second attempt on, an event tells the readers that the job starts over.
-- Virtual times of different models cannot be compared. The model whose first job was submitted earliest is served; members begin with
-- the number of the submission.
--
-- ARGV[2] worker  [3] lease duration in ms  [4] a unique id of this request  [5] number of owners whose jobs are left waiting
--     [6...] those owners, then the models
-- Returns id, model, owner, program, token, attempt, submitted, time limit, trace parent, now, result bytes, weight, last sequence number;
-- or nil if nothing waits.

local worker, duration, request = ARGV[2], ARGV[3], ARGV[4]

local function granted(id)
  local job = redis.call('HMGET', job_key(id), 'model', 'owner', 'program', 'token', 'attempt', 'submitted', 'limit', 'trace', 'most',
    'weight', 'sequence')
  return { id, job[1], job[2], job[3], job[4], job[5], job[6], job[7], job[8], now, job[9] or '', job[10] or '', job[11] or '0' }
end

-- The largest exact integer of a Lua number is 2^53: this is enough until the year 2248.
local function next_token()
  local bits = ((string.byte(request, 1) or 0) * 256 + (string.byte(request, 2) or 0)) % 1024
  local token = math.max(now * 1024 + bits, tonumber(redis.call('GET', key('token')) or '0') + 1)
  local text = string.format('%.0f', token)
  redis.call('SET', key('token'), text)
  return text
end

if again then
  for _, id in ipairs(redis.call('ZRANGE', key('leased'), 0, -1)) do
    if get(id, 'request') == request then return granted(id) end
  end
end

local excluded, first_model = {}, 6 + tonumber(ARGV[5])
for i = 6, first_model - 1 do excluded[ARGV[i]] = true end

-- Returns the first waiting job of a model that is not of an excluded owner, and its tag. It looks at the first jobs only: a script
-- blocks Redis while it runs.
local function find_first(waiting)
  local rank = 0
  while rank < 1024 do
    local entry = redis.call('ZRANGE', waiting, rank, rank, 'WITHSCORES')
    if not entry[1] then return nil end
    local owner = get(string.sub(entry[1], 18), 'owner')
    if not owner then redis.call('ZREM', waiting, entry[1]) -- evicted by Redis
    elseif excluded[owner] then rank = rank + 1
    else return entry[1], tonumber(entry[2]) end
  end
end

local member, model, tag
for i = first_model, #ARGV do
  local first, first_tag = find_first(key('waiting:' .. ARGV[i]))
  if first and (not member or first < member) then member, model, tag = first, ARGV[i], first_tag end
end
if not member then return nil end

local id = string.sub(member, 18)
remove_from_queue(model, get(id, 'owner'), member)
local left = redis.call('ZRANGE', key('waiting:' .. model), 0, 0, 'WITHSCORES')
if left[2] then tag = math.min(tag, tonumber(left[2])) end -- of an excluded owner: virtual time does not pass the jobs that wait
if tag > tonumber(redis.call('HGET', key('clock'), model) or '0') then
  redis.call('HSET', key('clock'), model, tag)
  redis.call('ZREMRANGEBYSCORE', key('finish:' .. model), '-inf', tag) -- finish tags up to the virtual time have no effect
end
local attempt = redis.call('HINCRBY', job_key(id), 'attempt', 1)
redis.call('HSET', job_key(id), 'token', next_token(), 'worker', worker, 'started', now, 'request', request)
if redis.call('HDEL', job_key(id), 'restored') == 1 or attempt > 1 then append(id, 'restart', attempt) end
redis.call('ZADD', key('leased'), now + duration, id)
redis.call('HINCRBY', key('running'), model, 1)
return granted(id)
