-- The end of an attempt, once. A cancel that was acknowledged before it wins over finishing.
-- reads   run:<id>
-- writes  run:<id>, state and lane indexes, leases, usage:<user>, events, history:<id>, notices:open, bell,
--         the same of its children, and of a breaker that opens: controls bad:<worker> fails:<batch>
-- args    id token state cause error by crashed stalled began fields: {...} crash_limit
-- answer  done | already | lost

local run = record(A.id)
local answer = fenced(run)
if answer then return answer end

local fields = A.fields
local told = {attempt = run.attempt, cause = A.cause, text = A.error}
fields.ended_token = A.token

judge_worker(A.id, run, A.cause, A.began or A.state == 'finished')
if A.state == 'queued' then
  put_back(A.id, run, {
    by = A.by, cause = A.cause, text = A.error, fields = fields,
    crashed = A.crashed, stalled = A.stalled,
  })
  return 'done'
end
fields.crashes = whole(run.crashes + (A.crashed and 1 or 0))
fields.stalls = whole(run.stalls + (A.stalled and 1 or 0))
if A.state == 'finished' then fields.result_attempt = fields.result_attempt or A.token end
if run.wish == 'cancel' and A.state ~= 'failed' then
  cancelled_by_wish(A.id, run, fields)
  return 'done'
end
fields.error, fields.cause = A.error, A.cause
if A.state == 'held' then
  fields.held_by, fields.held_reason, fields.held_from = A.by, A.error, 'queued'
  fields.worker = ''
  move(A.id, run, 'held', fields)
  event('held', A.id, A.by, told)
  return 'done'
end
fields.ended_by = A.by
conclude(A.id, run, A.state, fields, A.by, told)
if A.state == 'failed' then judge_batch(A.id, run, A.cause, A.error) end
return 'done'
