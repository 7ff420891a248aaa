-- Returns the usage by day and owner.
--
-- ARGV[2] owner, or '' for all owners  [3] first day  [4] last day, in days since 1970
-- Returns day, owner, hash of counters; repeated.

local owner, first, last = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local accounts = {}
for day = first, last do
  local owners = owner ~= '' and { owner } or redis.call('SMEMBERS', key('usage:' .. day))
  for _, one in ipairs(owners) do
    local account = redis.call('HGETALL', key('usage:' .. day .. ' ' .. one))
    if #account > 0 then
      accounts[#accounts + 1], accounts[#accounts + 2], accounts[#accounts + 3] = day, one, account
    end
  end
end
return accounts
