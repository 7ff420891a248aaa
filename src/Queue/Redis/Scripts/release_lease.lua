-- Returns a leased job to the queue, if the lease is still valid: it gets the place of its owner's next job. This does not count as a lost
-- lease.
--
-- ARGV[2] job id  [3] token
-- Returns 1, or 0 if the lease was lost.

local id, token = unpack(ARGV, 2)
if not is_token_valid(id, token) then return 0 end
local model = get(id, 'model')
release(id, model)
requeue_in_turn(id, model)
return 1
