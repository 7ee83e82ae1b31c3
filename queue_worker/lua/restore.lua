-- Write the record of a run that Redis has lost; one that is there stays as it is.
-- reads   run:<id>
-- writes  run:<id>, the indexes, bell
-- args    id fields: {...}
-- answer  "restored", "there", or why the record cannot be trusted

if redis.call('EXISTS', run_key(A.id)) == 1 then return 'there' end
local run, reason = trusted(A.fields)
if not run then return reason end
if run.state == 'running' then return 'nobody holds its lease any more' end
write(A.id, A.fields)
index({{id = A.id, run = run}})
event('restored', A.id, A.by)
if run.state == 'waiting' then settle(A.id) end
ring(1)
return 'restored'
