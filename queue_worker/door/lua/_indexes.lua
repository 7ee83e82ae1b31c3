-- Indexes, all derived from the records: a submit makes them, `mend` makes them again.

-- Runs of one lane are served by the same workers; of each lane a claim looks at the first only.
local function lane_of(run)
  local root = (run.checkpoint ~= '' or run.start_from ~= '') and run.runs_root or ''
  local gib = whole(math.ceil(run.memory_mb / 1024))
  return table.concat({run.user, gib, whole(run.gpus), run.needs_host, root, run.batch}, '|')
end

local function lane_parts(lane)
  local user, gib, gpus, host, root, batch =
    string.match(lane, '^([^|]*)|(%d+)|(%d+)|([^|]*)|([^|]*)|([^|]*)$')
  if not user then return nil end
  return {user = user, gib = tonumber(gib), gpus = tonumber(gpus), host = host, root = root, batch = batch}
end

local mend

-- Members for sorted sets, {name = {score, id, ...}}: many go in with one call each.
local MOST = 2000
local function add(sets, name, score, id)
  local entries = sets[name] or {}
  entries[#entries + 1], entries[#entries + 2], sets[name] = score, id, entries
end

local function enter(sets)
  local broken = false
  for name, entries in pairs(sets) do
    broken = expect(name, 'zset') or broken
    for i = 1, #entries, MOST do
      redis.call('ZADD', key(name), unpack(entries, i, math.min(i + MOST - 1, #entries)))
    end
  end
  if broken then mend() end
end

local function add_state(sets, id, run)
  local score = whole(run.seq)
  if run.state == 'queued' then score = whole(place(run)) end
  if ENDED[run.state] then score = run.ended_at end
  add(sets, 'state:' .. run.state, score, id)
  if run.state ~= 'queued' then return end
  local lane = lane_of(run)
  if not sets['lane:' .. lane] then redis.call('SADD', key('lanes:2'), lane) end
  add(sets, 'lane:' .. lane, score, id)
end

local function enter_state(id, run)
  local sets = {}
  add_state(sets, id, run)
  enter(sets)
end

local function leave_lane(id, lane)
  if expect('lane:' .. lane, 'zset') then mend() end
  redis.call('ZREM', key('lane:' .. lane), id)
  if redis.call('EXISTS', key('lane:' .. lane)) == 0 then redis.call('SREM', key('lanes:2'), lane) end
end

local function leave_state(id, run)
  redis.call('ZREM', key('state:' .. run.state), id)
  if run.state == 'queued' then leave_lane(id, lane_of(run)) end
end

-- Everything that is derived from the records alone: a submit makes it, `mend` makes it again.
local function index(runs)
  local sets, users = {}, {}
  for _, each in ipairs(runs) do
    local id, run = each.id, each.run
    local seq = whole(run.seq)
    add(sets, 'runs', seq, id)
    add(sets, 'ids', '0', id)
    for _, what in ipairs({'user', 'name', 'batch', 'digest', 'retry_of'}) do
      if run[what] ~= '' then add(sets, what .. ':' .. run[what], seq, id) end
    end
    for _, parent in ipairs(parents_of(run.after)) do
      redis.call('SADD', key('children:' .. parent.id), id)
    end
    users[run.user] = true
    add_state(sets, id, run)
  end
  for user in pairs(users) do redis.call('ZADD', key('users'), 'NX', seconds(NOW), user) end
  enter(sets)
end

-- An index was of the wrong type and has been set aside: make all of them again from the records.
function mend()
  local ids = redis.call('ZRANGE', key('runs'), 0, -1)
  for _, state in ipairs(STATES) do
    for _, id in ipairs(redis.call('ZRANGE', key('state:' .. state), 0, -1)) do ids[#ids + 1] = id end
  end
  local runs = {}
  for _, id in ipairs(ids) do
    local run = record(id)
    if run and redis.call('HEXISTS', key('quarantine'), id) == 0 then
      runs[#runs + 1] = {id = id, run = run}
      if run.state == 'running' and not redis.call('ZSCORE', key('leases:2'), id) then
        redis.call('ZADD', key('leases:2'), seconds(NOW + (A.lease or 60)), id)
      end
    end
  end
  index(runs)
end

local INDEXES = {
  runs = 'zset', ids = 'zset', users = 'zset', batches = 'zset', controls = 'hash', ['lanes:2'] = 'set', ['leases:2'] = 'zset', workers = 'zset', roots = 'zset',
  ['notices:open'] = 'zset', quarantine = 'hash', events = 'stream', bell = 'list', ['seq:2'] = 'string',
  ['notices:seq'] = 'string', ['reap:last'] = 'string', ['reap:hold'] = 'string', edits = 'zset',
}
for _, state in ipairs(STATES) do INDEXES['state:' .. state] = 'zset' end

local broken = false
for name, kind in pairs(INDEXES) do broken = expect(name, kind) or broken end
if broken then mend() end

-- Version 1 sets aside whatever it cannot read in its `lanes` and `leases`, so nothing of ours stands
-- there. What its clients queue is taken over; what its workers run is theirs, and their leases count.
local function take_over(lane)
  local ids, runs = redis.pcall('ZRANGE', key('lane:' .. lane), 0, -1), {}
  for _, id in ipairs(ids) do
    local run = record(id)
    if run and run.state == 'queued' and readable(run) then
      write(id, {schema_number = whole(SCHEMA)})
      runs[#runs + 1] = {id = id, run = run}
    end
  end
  index(runs)
  redis.call('DEL', key('lane:' .. lane))
end

expect('lanes', 'set')
expect('leases', 'zset')
for _, lane in ipairs(redis.call('SMEMBERS', key('lanes'))) do take_over(lane) end
if redis.call('EXISTS', key('lanes')) == 1 then redis.call('DEL', key('lanes')) end
local theirs = redis.call('ZRANGE', key('leases'), 0, -1, 'WITHSCORES')
for i = 1, #theirs, 2 do redis.call('ZADD', key('leases:2'), theirs[i + 1], theirs[i]) end

local function drop_lease(id)
  redis.call('ZREM', key('leases:2'), id)
  redis.call('ZREM', key('leases'), id)
end

-- INCR that survives a counter of garbage
local function count(name, floor)
  if not tonumber(redis.call('GET', key(name)) or '0') then redis.call('SET', key(name), floor) end
  return redis.call('INCR', key(name))
end

-- Microseconds between the places of runs that are submitted or moved together: another one can be
-- moved between them.
local APART = 1000

-- The first of the numbers of so many new runs: the time, but never one twice or backwards.
local function next_seq(number)
  local last = tonumber(redis.call('GET', key('seq:2')) or '')
  last = last or tonumber(redis.call('ZRANGE', key('runs'), -1, -1, 'WITHSCORES')[2] or '0')
  local seq = math.max(NOW_US, last + APART)
  redis.call('SET', key('seq:2'), whole(seq + (number - 1) * APART))
  return seq
end

-- How many queued runs go before each of these, whoever serves them. Runs of one submit stand close
-- together: of a lane in which nobody stands between their first and their last, one count serves all.
-- Else a chunk of a batch would cost its runs times the lanes there are. A place that is not given is
-- looked up.
local function ahead_of(runs)
  local ranks, ahead, lowest, highest = {}, {}, math.huge, -math.huge
  for i, each in ipairs(runs) do
    local at = each.place or tonumber(redis.call('ZSCORE', key('lane:' .. lane_of(each.run)), each.id) or '')
    ranks[i], ahead[i] = (at or place(each.run)) + penalty(each.run.user), 0
    lowest, highest = math.min(lowest, ranks[i]), math.max(highest, ranks[i])
  end
  local common = 0
  for _, name in ipairs(#runs > 0 and redis.call('SMEMBERS', key('lanes:2')) or {}) do
    local lane = lane_parts(name)
    local function before(rank)
      local below = '(' .. whole(rank - penalty(lane.user))
      local number = redis.pcall('ZCOUNT', key('lane:' .. name), '-inf', below)
      return type(number) == 'number' and number or 0
    end
    local least = lane and before(lowest) or 0
    if not lane or least == before(highest) then
      common = common + least
    else
      for i, rank in ipairs(ranks) do ahead[i] = ahead[i] + before(rank) end
    end
  end
  for i in ipairs(ranks) do ahead[i] = ahead[i] + common end
  return ahead
end

-- Queued runs in the order in which they are to be claimed, were there a worker for each; 0: all.
local function in_line(limit)
  local first = {}
  for _, name in ipairs(redis.call('SMEMBERS', key('lanes:2'))) do
    local lane = lane_parts(name)
    local entries = lane and redis.pcall('ZRANGE', key('lane:' .. name), 0, limit - 1, 'WITHSCORES')
    for i = 1, entries and not entries.err and #entries or 0, 2 do
      local at = tonumber(entries[i + 1])
      first[#first + 1] = {id = entries[i], rank = at + penalty(lane.user), place = at}
    end
  end
  table.sort(first, function(one, other)
    if one.rank ~= other.rank then return one.rank < other.rank end
    if one.place ~= other.place then return one.place < other.place end
    return one.id < other.id
  end)
  local ids = {}
  for i = 1, limit > 0 and math.min(limit, #first) or #first do ids[i] = first[i].id end
  return ids
end
