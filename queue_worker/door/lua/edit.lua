-- Change what a pending run is or asks for: its config and name, its priority, its parents, where it
-- runs, for how long. A run that has begun keeps its config: its checkpoint is of that one.
-- reads   run:<id> controls
-- writes  run:<id>, state and lane indexes, name:<name> digest:<digest> children:<parent>, events, history:<id>, bell
-- args    id by text kind: moved or edited, fields: {...}
-- answer  {"ok"} | {"missing"} | {"broken", reason} | {"refused", state} | {"orphan", parent} | {"circle", parent} |
--         {"begun"}

local run, reason = record(A.id)
if redis.call('EXISTS', run_key(A.id)) == 0 then return {'missing'} end
if not run then return {'broken', reason} end
if not PENDING[run.state] then return {'refused', run.state} end
if A.fields.config and run.attempt > 0 then return {'begun'} end
local seen = A.fields.config and redis.call('HGET', run_key(A.id), 'preflight') or ''
if seen ~= '' and not A.fields.preflight then -- predicted from the old config
  A.fields.preflight = ''
  if not string.find(seen, '"by_hand":%s*true') then A.fields.memory_mb = '0' end
end

-- Would one of these parents wait for us, itself or through its own parents?
local function circle(parents)
  local todo, seen_ids = {}, {}
  for _, parent in ipairs(parents) do todo[#todo + 1] = parent.id end
  local i = 1
  while todo[i] do
    local id = todo[i]
    if id == A.id then return true end
    local above = not seen_ids[id] and record(id)
    seen_ids[id] = true
    for _, parent in ipairs(above and parents_of(above.after) or {}) do todo[#todo + 1] = parent.id end
    i = i + 1
  end
  return false
end

local parents = A.fields.after and parents_of(A.fields.after)
for _, parent in ipairs(parents or {}) do
  if redis.call('EXISTS', run_key(parent.id)) == 0 then return {'orphan', parent.id} end
  if circle({parent}) then return {'circle', parent.id} end
end

-- What it would be is checked before anything is written: half an edit would lose the run.
local wanted = {}
for name, value in pairs(run) do wanted[name] = value end
for name, value in pairs(A.fields) do wanted[name] = value end
local sound, fault = trusted(wanted)
if not sound then return {'broken', fault} end
if not lane_parts(lane_of(sound)) then return {'broken', 'a bar in the name of a host'} end

local changed = false
for name, value in pairs(A.fields) do
  changed = changed or (redis.call('HGET', run_key(A.id), name) or '') ~= value
end
if not changed then return {'ok'} end -- a repeat

leave_state(A.id, run)
for _, what in ipairs({'name', 'digest'}) do
  if A.fields[what] then redis.call('ZREM', key(what .. ':' .. run[what]), A.id) end
end
for _, parent in ipairs(parents and parents_of(run.after) or {}) do
  redis.call('SREM', key('children:' .. parent.id), A.id)
end
write(A.id, A.fields)
if parents then
  local from = #parents > 0 and 'waiting' or 'queued'
  if run.state == 'held' then write(A.id, {held_from = from}) else write(A.id, {state = from}) end
end
run = record(A.id)
index({{id = A.id, run = run}})
event(A.kind, A.id, A.by, {text = A.text})
settle(A.id)
ring(1)
return {'ok'}
