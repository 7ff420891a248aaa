-- Notes that a gateway follows jobs. A gateway counts as a follower until its time is over, so that one that has ended does not count.
--
-- ARGV[2] follower  [3] time in ms for which it counts, or '' for always  [4...] job ids
-- Returns the number of jobs that have not ended.

local follower, lifetime, followed = ARGV[2], ARGV[3], 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local state = get(id, 'state')
  if state and not is_end(state) then
    redis.call('ZADD', key('followers:' .. id), lifetime == '' and '+inf' or now + lifetime, follower)
    followed = followed + 1
  end
end
return followed
