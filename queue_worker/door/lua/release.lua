-- Let a held run go on from where it was held: at its old place.
-- reads   run:<id>
-- writes  run:<id>, state and lane indexes, edits, events, history:<id>, bell
-- args    id by
-- answer  {"ok"} | {"missing"} | {"broken", reason} | {"refused", state}

local run, reason = record(A.id)
if redis.call('EXISTS', run_key(A.id)) == 0 then return {'missing'} end
if not run then return {'broken', reason} end
if ENDED[run.state] then return {'refused', run.state} end
if run.state ~= 'held' then return {'ok'} end -- a repeat; a worker may have taken it meanwhile
let_go(A.id, run, A.by)
return {'ok'}
