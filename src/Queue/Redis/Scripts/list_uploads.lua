-- Returns the uploads whose existence is to be checked, and postpones the next check of each.
--
-- ARGV[2] maximum number of uploads  [3] time in ms until the next check
-- Returns "owner blob bytes" for each.

local due = redis.call('ZRANGEBYSCORE', key('uploads'), '-inf', now, 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do redis.call('ZADD', key('uploads'), now + ARGV[3], member) end
return due
