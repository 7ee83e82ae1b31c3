-- How many runs are in each state, of all or of one person, at one instant. Reads only.
-- reads   state:<state> user:<user>
-- args    states user ("": all)
-- answer  [number, ...]

local numbers = {}
for i, state in ipairs(A.states) do
  if A.user == '' then
    numbers[i] = redis.call('ZCARD', key('state:' .. state))
  else
    numbers[i] = #redis.call('ZINTER', 2, key('user:' .. A.user), key('state:' .. state))
  end
end
return numbers
