-- Publishes an event of a running job under its next sequence number, if the lease is still valid. A terminal state is the only outcome
-- of the job and releases the lease.
--
-- ARGV[2] job id  [3] token  [4] event, serialized  [5] a unique id of this event  [6] state, or ''  [7] error, serialized, or ''
--     [8] usage, serialized, or ''  [9] tokens  [10] passes  [11] compute time in ms  [12] result bytes
-- Returns 1, or 0 if the lease was lost; nothing is published then.

local id, token, event, nonce, state, error, usage, tokens, passes, ms, bytes = unpack(ARGV, 2)

if again then -- search the latest events for the one of the first attempt
  for _, entry in ipairs(redis.call('XREVRANGE', key('events:' .. id), '+', '-', 'COUNT', 256)) do
    local fields = entry[2]
    if fields[5] == 'nonce' and fields[6] == nonce then return 1 end
  end
end
if not is_token_valid(id, token) then return 0 end

append(id, 'event', event, 'nonce', nonce)
if state == '' then return 1 end
redis.call('HSET', job_key(id), 'state', state)
if not is_end(state) then return 1 end

local model = get(id, 'model')
release(id, model)
if error ~= '' then redis.call('HSET', job_key(id), 'error', error) end
if usage ~= '' then redis.call('HSET', job_key(id), 'usage', usage) end
if tonumber(state) == COMPLETED then
  local took = now - get(id, 'started')
  local mean_duration = redis.call('HGET', key('pace'), model)
  redis.call('HSET', key('pace'), model, mean_duration and 0.8 * mean_duration + 0.2 * took or took)
end
end_job(id, model, tonumber(state), false, tokens, passes, ms, bytes)
return 1
