-- How many queued runs go before each of these. Reads only.
-- reads   run:<id> lanes lane:<lane> usage:<user>
-- args    ids
-- answer  [a number, or -1 when it is not queued, ...]

local numbers, queued = {}, {}
for i, id in ipairs(A.ids) do
  local run = record(id)
  numbers[i] = -1
  if run and run.state == 'queued' then queued[#queued + 1] = {id = id, run = run, at = i} end
end
for i, number in ipairs(ahead_of(queued)) do numbers[queued[i].at] = number end
return numbers
