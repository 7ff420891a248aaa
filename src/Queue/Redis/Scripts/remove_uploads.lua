-- Counts uploads no longer, because they are deleted.
--
-- ARGV[2...] "owner blob bytes"
-- Returns the number of those that were counted.

local removed = 0
for i = 2, #ARGV do
  if redis.call('ZREM', key('uploads'), ARGV[i]) == 1 then
    local owner, bytes = string.match(ARGV[i], '^(%S+) %S+ (%d+)$')
    count_bytes('queue_bytes', owner, -UPLOAD_BYTES)
    count_bytes('blob_bytes', owner, -bytes)
    removed = removed + 1
  end
end
return removed
