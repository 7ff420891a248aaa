-- Extends a lease, if it is still valid.
--
-- ARGV[2] job id  [3] token  [4] lease duration in ms
-- Returns 1, or 0 if the lease was lost.

local id, token, duration = unpack(ARGV, 2)
if not is_token_valid(id, token) then return 0 end
redis.call('ZADD', key('leased'), now + duration, id)
return 1
