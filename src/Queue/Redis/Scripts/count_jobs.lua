-- Counts the waiting and running jobs by model, and the ended jobs by outcome.
--
-- Returns completed, failed, cancelled, timed out (among the failed), then per model: name, waiting, running.

local totals = redis.call('HMGET', key('totals'), 'completed', 'failed', 'cancelled', 'timed_out')
local counts, running = { totals[1] or 0, totals[2] or 0, totals[3] or 0, totals[4] or 0 }, {}
local function add(model, waiting, runs)
  counts[#counts + 1], counts[#counts + 2], counts[#counts + 3] = model, waiting, runs
end
local models = redis.call('HGETALL', key('running'))
for i = 1, #models, 2 do running[models[i]] = models[i + 1] end
for _, model in ipairs(redis.call('SMEMBERS', key('models'))) do
  add(model, redis.call('ZCARD', key('waiting:' .. model)), running[model] or 0)
  running[model] = nil
end
for model, runs in pairs(running) do add(model, 0, runs) end
return counts
