-- Cancel a pending run at once; a running one gets a durable wish; an ended one stays as it is.
-- reads   run:<id>
-- writes  run:<id>, state and lane indexes, events, history:<id>, notices:open, quarantine
-- args    id by reason
-- answer  {"ok"} | {"missing"} | {"broken", reason}

local run, reason = record(A.id)
if redis.call('EXISTS', run_key(A.id)) == 0 then return {'missing'} end
if not run then return {'broken', reason} end
if ENDED[run.state] or run.wish == 'cancel' then return {'ok'} end

local wish = {wish = 'cancel', wish_by = A.by, wish_reason = A.reason}
if run.state == 'running' and redis.call('ZSCORE', key('leases:2'), A.id) then
  write(A.id, wish)
  event('cancel_asked', A.id, A.by, {attempt = run.attempt, text = A.reason})
  return {'ok'}
end
run.wish_by, run.wish_reason = A.by, A.reason
redis.call('HDEL', key('quarantine'), A.id)
cancelled_by_wish(A.id, run, wish)
return {'ok'}
