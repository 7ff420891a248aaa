-- Publishes the current positions of waiting jobs, where they have changed enough (JobRules.ShouldPublishPosition) or the notice about
-- their model is another.
--
-- ARGV[2] minimum interval in ms between two positions of one job  [3] number of models with a notice  [4...] name and notice of each
--     model, then the job ids
-- Returns the number of published positions.

local told = 0
local notices, first = {}, 4 + 2 * tonumber(ARGV[3])
for i = 4, first - 1, 2 do notices[ARGV[i]] = ARGV[i + 1] end
for i = first, #ARGV do
  local id = ARGV[i]
  local job = redis.call('HMGET', job_key(id), 'state', 'model', 'token', 'told', 'told_at', 'notice')
  if job[1] and tonumber(job[1]) == QUEUED and not job[3] and math.abs(now - (job[5] or 0)) >= tonumber(ARGV[2]) then
    local position, wait = queue_position(id, job[2])
    local before = tonumber(job[4] or '0')
    local is_moved = position ~= before and math.abs(position - before) >= math.floor(before / 100) -- as in JobRules.cs
    local notice = notices[job[2]]
    local is_new = notice ~= nil and notice ~= (job[6] or '')
    if is_new then redis.call('HSET', job_key(id), 'notice', notice) end
    if position > 0 and (is_moved or is_new) then
      publish_position(id, position, wait)
      told = told + 1
    end
  end
end
return told
