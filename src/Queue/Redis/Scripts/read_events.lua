-- Returns a page of a job's events from a sequence number on. A page ends with the event that reaches its limit, or before a large one
-- (publish.lua), so that a slow reader buffers little, whatever the job has saved.
--
-- ARGV[2] job id  [3] first sequence number  [4] maximum number of events  [5] number of bytes that ends a page
--     [6] the last sequence number that this reader has returned; if the store has lost it, later events get larger numbers
--     [7] the entry in the queue of the job that this reader reads; '' in its first call
--     [8] '1' if the first event may be a large one, else '0'
-- Returns 1 if the job has ended (0 if not), the entries of the stream, 1 if there may be more entries now, and the job's entry in the
-- queue, which another job of the same id does not have; nil if there is no such job, or only another one. If the first event is large
-- and may not be, its size and the owner of the job follow, and no entries are returned.

local id, from, count, enough, seen = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local known, may_be_large = ARGV[7], ARGV[8] == '1'
local state, member = get(id, 'state'), get(id, 'member')
if not state or not member or known ~= '' and known ~= member then return nil end
if not is_end(state) then skip_lost_events(id, seen) end
-- 9007199254740991 is the largest exact integer of a Lua number; no job reaches it.
if from > 9007199254740991 then return { is_end(state) and 1 or 0, {}, 0, member } end
local page, bytes = {}, 0
while #page < count and bytes < enough do
  local size = get(id, string.format('large:%.0f', from))
  if size and #page > 0 then return { 0, page, 1, member } end
  if size and not may_be_large then return { 0, page, 1, member, size, get(id, 'owner') } end
  local entry = redis.call('XRANGE', key('events:' .. id), string.format('%.0f-0', from), '+', 'COUNT', 1)[1]
  if not entry then return { is_end(state) and 1 or 0, page, 0, member } end
  page[#page + 1] = entry
  for _, field in ipairs(entry[2]) do bytes = bytes + #field end
  from = tonumber(string.match(entry[1], '^%d+')) + 1
end
return { is_end(state) and 1 or 0, page, 1, member }
