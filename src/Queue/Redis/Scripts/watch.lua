-- Events of a job from a sequence number on, and whether more may come. A page ends with the event that fills it: who reads slowly holds
-- no more than that, whatever the job has saved.
--
-- ARGV[2] job id  [3] first sequence number  [4] how many at most  [5] how many bytes are enough
-- Returns 1 if the job has ended (0 if not), the stream's entries, and 1 if there may be more of them now; nil if there is no such job.

local id, from, count, enough = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local state = get(id, 'state')
if not state then return nil end
if from > 9007199254740991 then return { is_end(state) and 1 or 0, {}, 0 } end -- a double's last whole number; no job comes near it
local page, bytes = {}, 0
while #page < count and bytes < enough do
  local entry = redis.call('XRANGE', key('events:' .. id), string.format('%.0f-0', from), '+', 'COUNT', 1)[1]
  if not entry then return { is_end(state) and 1 or 0, page, 0 } end
  page[#page + 1] = entry
  for _, field in ipairs(entry[2]) do bytes = bytes + #field end
  from = tonumber(string.match(entry[1], '^%d+')) + 1
end
return { is_end(state) and 1 or 0, page, 1 }
