-- Keep a pending run from being claimed; for the time of an edit, which a reap ends when nobody else does.
-- reads   run:<id> edits
-- writes  run:<id>, state and lane indexes, edits, events, history:<id>
-- args    id by reason for_s (of an edit; 0: until somebody releases it)
-- answer  {"ok"} | {"missing"} | {"broken", reason} | {"refused", state} | {"edited", who}

local run, reason = record(A.id)
if redis.call('EXISTS', run_key(A.id)) == 0 then return {'missing'} end
if not run then return {'broken', reason} end
local edited = redis.call('ZSCORE', key('edits'), A.id)
if run.state == 'held' and not edited then return {'ok'} end -- a person's hold outlasts an edit
if not PENDING[run.state] then return {'refused', run.state} end
local who = redis.call('HGET', run_key(A.id), 'held_by')
if run.state == 'held' and A.for_s > 0 and who ~= A.by then return {'edited', who} end

if A.for_s > 0 then
  redis.call('ZADD', key('edits'), seconds(NOW + A.for_s), A.id)
else
  redis.call('ZREM', key('edits'), A.id)
end
local fields = {held_by = A.by, held_reason = A.reason}
if run.state == 'held' then
  write(A.id, fields)
else
  fields.held_from = run.state
  move(A.id, run, 'held', fields)
end
event('held', A.id, A.by, {text = A.reason})
return {'ok'}
