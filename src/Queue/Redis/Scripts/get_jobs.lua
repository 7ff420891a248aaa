-- Returns the current state of several jobs.
--
-- ARGV[2...] job ids
-- Returns one row per job that exists.

local rows = {}
for i = 2, #ARGV do rows[#rows + 1] = read_job(ARGV[i]) end
return rows
