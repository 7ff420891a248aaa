-- Publishes an event of a running job under its next sequence number, if the lease is still valid. A terminal state is the only outcome
-- of the job and releases the lease.
--
-- ARGV[2] job id  [3] token  [4] event, serialized  [5] a unique id of this event  [6] state, or ''  [7] error, serialized, or ''
--     [8] usage, serialized, or ''  [9] tokens  [10] passes  [11] compute time in ms  [12] result bytes
--     [13] the time in ms in which the model was loaded  [14] the number of the job's last event, as the worker knows it
--     [15] their bytes, as they count  [16] '1' if the job ran too long, else '0'  [17] the size from which an event is large
--     [18...] the ids of the blobs of the event
-- Returns 1, or 0 if the lease was lost; nothing is published then. If events of this lease are missing, because
-- Redis was restored to an earlier state, the job returns to the queue: it starts over, and its readers receive everything again.
-- If the owner may not store the event and its blobs, returns the name of the limit, the stored bytes and the limit. Nothing is published
-- or counted then, and the worker deletes the blobs. Those of a published event belong to the job, and are deleted with it.

local id, token, event, nonce, state, error, usage, tokens, passes, ms, bytes, load, last, blob_bytes, is_timeout, large =
  unpack(ARGV, 2, 17)

if again then -- search the latest events for the one of the first attempt
  for _, entry in ipairs(redis.call('XREVRANGE', key('events:' .. id), '+', '-', 'COUNT', 256)) do
    local fields = entry[2]
    if fields[5] == 'nonce' and fields[6] == nonce then return 1 end
  end
end
if not is_token_valid(id, token) then return 0 end
local model = get(id, 'model')
if skip_lost_events(id, tonumber(last or '0')) or get(id, 'restored') then
  release(id, model)
  requeue_first(id, model)
  return 0
end

local id_bytes = 0
for i = 18, #ARGV do id_bytes = id_bytes + #ARGV[i] end
if state == '' then
  local exceeded = find_exceeded_storage(get(id, 'owner'), get(id, 'storage'), #event + id_bytes, tonumber(blob_bytes))
  if exceeded then return exceeded end
end
if ARGV[18] then
  for i = 18, #ARGV do redis.call('RPUSH', key('blobs:' .. id), ARGV[i]) end
  count_bytes_of_job(id, 'blob_bytes', tonumber(blob_bytes))
  count_bytes_of_job(id, 'queue_bytes', id_bytes)
end
local sequence = append(id, 'event', event, 'nonce', nonce)
if large and #event > tonumber(large) then redis.call('HSET', job_key(id), 'large:' .. sequence, #event) end
if state == '' then return 1 end
redis.call('HSET', job_key(id), 'state', state)
if not is_end(state) then return 1 end

release(id, model)
if error ~= '' then redis.call('HSET', job_key(id), 'error', error) end
if usage ~= '' then redis.call('HSET', job_key(id), 'usage', usage) end
count_bytes_of_job(id, 'queue_bytes', #error + #usage)
if ms == '' then ms = math.max(0, now - get(id, 'started')) end -- the worker has not measured it
if tonumber(state) == COMPLETED then
  local took = math.max(1, now - get(id, 'started') - (load or 0))
  local mean_duration = tonumber(redis.call('HGET', key('pace'), model) or '0')
  local weight = mean_duration == 0 and 1 or took < mean_duration and 0.7 or 0.2 -- JobRules.UpdateMeanSeconds
  redis.call('HSET', key('pace'), model, (1 - weight) * mean_duration + weight * took)
end
end_job(id, model, tonumber(state), false, tokens, passes, ms, bytes, is_timeout == '1')
return 1
