-- Keep a pending run from being claimed.
-- reads   run:<id>
-- writes  run:<id>, state and lane indexes, events, history:<id>
-- args    id by reason
-- answer  {"ok"} | {"missing"} | {"broken", reason} | {"refused", state}

local run, reason = record(A.id)
if redis.call('EXISTS', run_key(A.id)) == 0 then return {'missing'} end
if not run then return {'broken', reason} end
if run.state == 'held' then return {'ok'} end
if run.state ~= 'queued' and run.state ~= 'waiting' then return {'refused', run.state} end
move(A.id, run, 'held', {held_by = A.by, held_reason = A.reason, held_from = run.state})
event('held', A.id, A.by, {text = A.reason})
return {'ok'}
