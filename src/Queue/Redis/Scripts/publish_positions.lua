-- Publishes the current positions of waiting jobs, where they have changed enough (JobRules.ShouldPublishPosition).
--
-- ARGV[2] minimum interval in ms between two positions of one job  [3...] job ids
-- Returns the number of published positions.

local told = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local job = redis.call('HMGET', job_key(id), 'state', 'model', 'token', 'told', 'told_at')
  if job[1] and tonumber(job[1]) == QUEUED and not job[3] and now - (job[5] or 0) >= tonumber(ARGV[2]) then
    local position, wait = queue_position(id, job[2])
    local before = tonumber(job[4] or '0')
    if position > 0 and position ~= before and math.abs(position - before) >= math.floor(before / 100) then -- as in JobRules.cs
      publish_position(id, position, wait)
      told = told + 1
    end
  end
end
return told
