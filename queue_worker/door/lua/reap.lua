-- Put back the attempts that nobody can end any more: expired leases, attempts of this host from
-- before its boot by workers that are silent, and, with `own`, those of this very lane (its lock proves that the process died).
--
-- Outage rule: while Redis, or everybody, was away no lease could be renewed. After a gap between two
-- reaps nothing expires for 1.2 leases, so that those who still train can say so.
-- reads   run:<id> leases edits workers worker:<lane> children:<id>
-- writes  run:<id>, state and lane indexes, leases, edits, reap:last reap:hold roots workers, events,
--         history:<id>, notices:open, quarantine, bell
-- args    lease crash_limit lane host boot own by forget_workers
-- answer  [ids put back or ended]

local last = tonumber(redis.call('GET', key('reap:last')) or '')
local held_back = tonumber(redis.call('GET', key('reap:hold')) or '') or 0
local longest = NOW + 1.2 * A.lease
if not last or NOW - last > A.lease / 2 then
  held_back = longest
  for _, root in ipairs(redis.call('ZRANGE', key('roots'), 0, -1)) do
    local seen_at = tonumber(redis.call('ZSCORE', key('roots'), root))
    local later = math.min(NOW, seen_at + (last and NOW - last or 0))
    redis.call('ZADD', key('roots'), seconds(later), root)
  end
end
held_back = math.min(held_back, longest) -- the clock may have been put back
redis.call('SET', key('reap:last'), seconds(NOW))
redis.call('SET', key('reap:hold'), seconds(held_back))
for _, root in ipairs(redis.call('ZRANGEBYSCORE', key('roots'), '(' .. seconds(NOW), '+inf')) do
  redis.call('ZADD', key('roots'), seconds(NOW), root)
end
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', seconds(NOW - A.forget_workers))

-- Whoever says that it lives, on the boot on which it claimed, was not booted: another machine bears
-- the name of its host, and may not take its attempts.
local function lives(run)
  local at = tonumber(redis.call('ZSCORE', key('workers'), run.worker) or '')
  if not at or NOW - at >= A.lease then return false end
  local ok, card = pcall(cjson.decode, redis.pcall('HGET', key('worker:' .. run.worker), 'card') or '')
  return ok and type(card) == 'table' and card.boot_id == run.claim_boot
end

local function why_lost(run, lease)
  local this_boot = A.boot == '' or run.claim_boot == A.boot
  if run.worker == A.lane and A.own and this_boot then return 'its worker was started anew' end
  local host = string.match(run.worker, '^([^:]*):')
  if host == A.host and not this_boot and not lives(run) then return 'its host was booted' end
  if lease <= NOW and NOW >= held_back then return 'its worker fell silent' end
end

-- Edits that nobody finished: their runs go on as they are.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('edits'), '-inf', seconds(NOW))) do
  local run = record(id)
  redis.call('ZREM', key('edits'), id)
  if run and run.state == 'held' and readable(run) then let_go(id, run, A.by) end
end

local reaped = {}
for _, id in ipairs(redis.call('ZRANGE', key('leases:2'), 0, -1)) do
  local lease = tonumber(redis.call('ZSCORE', key('leases:2'), id))
  local run, reason = record(id)
  if not run then
    quarantine(id, reason)
  elseif run.state ~= 'running' then
    drop_lease(id) -- debris; or a worker of version 1 has ended it, which knows of no children
    settle_children(id)
  elseif readable(run) then
    -- its own length: this reaper's may be set otherwise
    local length = tonumber(redis.call('HGET', run_key(id), 'claim_lease') or '') or A.lease
    if lease > NOW + length then redis.call('ZADD', key('leases:2'), seconds(NOW + length), id) end
    local lost = why_lost(run, lease)
    if lost then
      put_back(id, run, {by = A.by, cause = 'host_lost', text = lost, crashed = true})
      reaped[#reaped + 1] = id
    end
  end
end
return reaped
