-- Gives a leased job back to the front of the line, if the lease is still this worker's. That is not a death.
--
-- ARGV[2] job id  [3] token
-- Returns 1, or 0 if the lease was lost before.

local id, token = unpack(ARGV, 2)
if not holds(id, token) then return 0 end
local model = get(id, 'model')
release(id, model)
to_front(id, model)
return 1
