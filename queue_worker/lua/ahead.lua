-- How many queued runs go before this one. Reads only.
-- reads   run:<id> lanes lane:<lane> usage:<user>
-- args    id
-- answer  a number, or nil when it is not queued

local run = record(A.id)
if not run or run.state ~= 'queued' then return nil end
return ahead_of({{id = A.id, run = run}})[1]
