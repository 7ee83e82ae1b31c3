-- Move the checkpoint pointer; the runs root is that of the claim.
-- reads   run:<id>
-- writes  run:<id> events history:<id>
-- args    id token path step lane
-- answer  done | already | lost

local run = record(A.id)
local answer = fenced(run)
if answer then return answer end
-- a late repeat must not move the pointer back
if run.checkpoint_token == A.token and A.step <= (tonumber(run.checkpoint_step) or 0) then
  return 'already'
end
write(A.id, {
  checkpoint = A.path, checkpoint_step = whole(A.step), checkpoint_token = A.token,
  runs_root = run.claim_root,
})
event('checkpoint', A.id, run.worker, {attempt = run.attempt, text = A.path})
return 'done'
