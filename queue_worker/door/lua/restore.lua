-- Write the record of a run that Redis has lost; one that is there stays as it is.
-- reads   run:<id>
-- writes  run:<id>, the indexes, metrics:<id> log:<id>, bell
-- args    id fields: {...} metrics: [{epoch, row}] log: [text]
-- answer  "restored", "there", or why the record cannot be trusted

if redis.call('EXISTS', run_key(A.id)) == 1 then return 'there' end
local run, reason = trusted(A.fields)
if not run then return reason end
if run.state == 'running' then return 'nobody holds its lease any more' end
for _, what in ipairs({'metrics:', 'log:'}) do redis.call('DEL', key(what .. A.id)) end
for _, row in ipairs(A.metrics) do redis.call('HSET', key('metrics:' .. A.id), row[1], row[2]) end
for _, line in ipairs(A.log) do redis.call('RPUSH', key('log:' .. A.id), line) end
A.fields.log_next = whole(#A.log)
write(A.id, A.fields)
index({{id = A.id, run = run}})
event('restored', A.id, A.by)
if run.state == 'waiting' then settle(A.id) end
ring(1)
return 'restored'
