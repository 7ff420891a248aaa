-- Jobs as they are at one moment.
--
-- ARGV[2...] job ids
-- Returns a row per job that there is.

local rows = {}
for i = 2, #ARGV do rows[#rows + 1] = row(ARGV[i]) end
return rows
