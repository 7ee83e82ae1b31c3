-- How many runs are in each state, at one instant. Reads only.
-- reads   state:<state>
-- args    states
-- answer  [number, ...]

local numbers = {}
for i, state in ipairs(A.states) do numbers[i] = redis.call('ZCARD', key('state:' .. state)) end
return numbers
