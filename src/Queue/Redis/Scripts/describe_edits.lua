-- Writes the summary and the bytes of edits that a gateway of an earlier version has published or deleted. The limits of stored bytes do
-- not hold for them.
--
-- ARGV[2] owner  [3] name  [4] the edits as they were read, '' for none  [5] the edits without their blobs, or ''
--     [6] their bytes, as they count, or 0
-- Returns 1; 0 if the edits are others meanwhile.

local owner, name, edits, summary, bytes = unpack(ARGV, 2)
if (redis.call('HGET', key('edits:' .. owner), name) or '') ~= edits then return 0 end
set_edits_summary(owner, name, summary, bytes)
return 1
