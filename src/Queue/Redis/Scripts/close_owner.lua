-- Closes an owner whose key was revoked: it adds nothing from now on (is_closed in common.lua).
--
-- ARGV[2] owner
-- Returns 1.

redis.call('HSET', key('closed'), ARGV[2], 1)
return 1
