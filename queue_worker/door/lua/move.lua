-- Give a pending run another place in line: the first, the last, or before another run.
-- reads   run:<id> lanes lane:<lane> usage:<user>
-- writes  run:<id>, state and lane indexes, events, history:<id>, bell
-- args    id by to: first, last or before, other: the run to go before
-- answer  {"ok"} | {"missing"} | {"broken", reason} | {"refused", state} | {"ended", id of the other}

local run, reason = record(A.id)
if redis.call('EXISTS', run_key(A.id)) == 0 then return {'missing'} end
if not run then return {'broken', reason} end
if not PENDING[run.state] then return {'refused', run.state} end

-- The lowest or the highest score of a lane, this run's own apart.
local function outermost(lane, command)
  local found = redis.pcall(command, key('lane:' .. lane), 0, 1, 'WITHSCORES')
  if found.err then return nil end
  return tonumber(found[found[1] == A.id and 4 or 2])
end

-- What others used lately decays and what this person uses grows: before others it stands by as much
-- as fair share can ever move it, so that it stays the first of those that are in line now.
local function first()
  local wanted = place(run)
  for _, name in ipairs(redis.call('SMEMBERS', key('lanes:2'))) do
    local lane = lane_parts(name)
    local lowest = lane and outermost(name, 'ZRANGE')
    local margin = lane and lane.user ~= run.user and A.half_life * 1000000 or 0
    local passed = lowest and wanted < lowest - margin
    if lowest and not passed then wanted = lowest - margin - APART end
  end
  return wanted
end

-- Behind the last as the line stands now: not behind what will be submitted.
local function last()
  local wanted = place(run)
  for _, name in ipairs(redis.call('SMEMBERS', key('lanes:2'))) do
    local lane = lane_parts(name)
    local highest = lane and outermost(name, 'ZREVRANGE')
    local behind = highest and highest + penalty(lane.user) - penalty(run.user)
    if highest and wanted <= behind then wanted = behind + APART end
  end
  return wanted
end

-- Between another run and the one that goes before it; where there is no room, before that one too.
local function before(other)
  local rank, gap = place(other) + penalty(other.user), 2 * APART
  for _, name in ipairs(redis.call('SMEMBERS', key('lanes:2'))) do
    local lane = lane_parts(name)
    local below = lane and '(' .. whole(rank - penalty(lane.user))
    local found = lane and redis.pcall('ZREVRANGEBYSCORE', key('lane:' .. name), below, '-inf',
      'WITHSCORES', 'LIMIT', 0, 2)
    local score = found and not found.err and tonumber(found[found[1] == A.id and 4 or 2])
    if score then gap = math.min(gap, rank - penalty(lane.user) - score) end
  end
  return rank - penalty(run.user) - math.max(math.floor(gap / 2), 1)
end

local wanted
if A.to == 'before' then
  local other = record(A.other)
  if not other or not PENDING[other.state] then return {'ended', A.other} end
  wanted = before(other)
else
  wanted = A.to == 'first' and first() or last()
end
wanted = math.floor(wanted)
if A.id == A.other or wanted == place(run) then return {'ok'} end -- it stands there

leave_state(A.id, run)
write(A.id, {shift = whole(run.shift + wanted - place(run))})
run = record(A.id)
enter_state(A.id, run)
event('moved', A.id, A.by, {text = A.to .. (A.other ~= '' and ' ' .. A.other or '')})
ring(1)
return {'ok'}
