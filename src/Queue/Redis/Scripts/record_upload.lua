-- Counts a blob that an owner has uploaded, once.
--
-- ARGV[2] owner  [3] blob id  [4] its bytes, as they count  [5] the limits of stored bytes, or ''  [6] time in ms until it is checked
-- Returns 1; 'closed' if the owner's key was revoked; if the owner may not store it: the name of the limit, the stored bytes and the limit.

local owner, blob, bytes, limits, delay = unpack(ARGV, 2)
local member = string.format('%s %s %s', owner, blob, bytes)
if is_closed(owner) then return 'closed' end
if not redis.call('ZSCORE', key('uploads'), member) then
  local exceeded = find_exceeded_storage(owner, limits, UPLOAD_BYTES, tonumber(bytes))
  if exceeded then return exceeded end
  count_bytes('queue_bytes', owner, UPLOAD_BYTES)
  count_bytes('blob_bytes', owner, tonumber(bytes))
end
redis.call('ZADD', key('uploads'), now + delay, member)
return 1
