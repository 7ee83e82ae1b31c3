-- Stands before every script: the clock, the indexes, and the moves that several scripts share.
-- KEYS[1] is the prefix, ARGV[1] one JSON object of named arguments (A). A Lua error is not rolled
-- back, so each script checks everything first and writes last. Keys: see the top of queue.py.

local PREFIX, A = KEYS[1], cjson.decode(ARGV[1])
local SCHEMA = 1
local STATES = {'waiting', 'queued', 'held', 'running', 'finished', 'failed', 'cancelled', 'skipped'}
local ENDED = {finished = true, failed = true, cancelled = true, skipped = true}
local KNOWN = {}
for _, state in ipairs(STATES) do KNOWN[state] = true end

local clock = redis.call('TIME')
local NOW = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function key(name) return PREFIX .. name end
local function run_key(id) return PREFIX .. 'run:' .. id end

-- numbers as text: Lua alone would write 1.7e+09
local function seconds(value) return string.format('%.6f', value) end
local function whole(value) return string.format('%.0f', value) end

-- An index of the wrong type would stop a script half-way: move it out of the way, say so.
local function expect(name, kind)
  local found = redis.call('TYPE', key(name)).ok
  if found == kind or found == 'none' then return false end
  redis.call('RENAME', key(name), key('broken:' .. name))
  return true
end

-- ---- records --------------------------------------------------------------------------------------

local NUMBERS = {'seq', 'priority', 'attempt', 'crashes', 'stalls'}
local FIELDS = {
  'seq', 'priority', 'attempt', 'crashes', 'stalls',
  'state', 'schema_number', 'token', 'user', 'needs_host', 'runs_root', 'checkpoint', 'start_from',
  'wish', 'wish_by', 'wish_reason', 'worker', 'nonce', 'name', 'batch', 'ended_at', 'ended_token',
  'held_from', 'claim_boot', 'claim_root', 'checkpoint_step', 'checkpoint_token', 'log_number',
}

-- The values that scripts decide by, or nil and why they cannot be trusted.
local function trusted(fields)
  local run = {}
  for _, name in ipairs(FIELDS) do run[name] = fields[name] or '' end
  for _, name in ipairs(NUMBERS) do
    local number = tonumber(run[name])
    if not number or number ~= math.floor(number) or math.abs(number) > 2 ^ 40 then
      return nil, name .. ' is not a whole number'
    end
    run[name] = number
  end
  if math.abs(run.priority) > 1000 then return nil, 'priority is not between -1000 and 1000' end
  if not KNOWN[run.state] then return nil, 'no such state: ' .. string.sub(run.state, 1, 40) end
  if ENDED[run.state] and not tonumber(run.ended_at) then return nil, 'ended_at is not a number' end
  return run
end

local function record(id)
  local kind = redis.call('TYPE', run_key(id)).ok
  if kind == 'none' then return nil, 'there is no record' end
  if kind ~= 'hash' then return nil, 'the record is a ' .. kind .. ', not a hash' end
  expect('history:' .. id, 'list')
  local fields = {}
  for i, value in ipairs(redis.call('HMGET', run_key(id), unpack(FIELDS))) do
    fields[FIELDS[i]] = value
  end
  return trusted(fields)
end

-- ---- indexes --------------------------------------------------------------------------------------

-- Lower goes first: by priority, then by order of submission, which a requeue keeps.
local function place(run) return whole((1000 - run.priority) * 2 ^ 40 + run.seq) end

local function lane_of(run)
  local root = (run.checkpoint ~= '' or run.start_from ~= '') and run.runs_root or ''
  return table.concat({run.user, '0', '1', run.needs_host, root}, '|')
end

local mend

local function enter_lane(id, run)
  local lane = lane_of(run)
  if expect('lane:' .. lane, 'zset') then mend() end
  redis.call('ZADD', key('lane:' .. lane), place(run), id)
  redis.call('SADD', key('lanes'), lane)
end

local function leave_lane(id, lane)
  if expect('lane:' .. lane, 'zset') then mend() end
  redis.call('ZREM', key('lane:' .. lane), id)
  if redis.call('EXISTS', key('lane:' .. lane)) == 0 then redis.call('SREM', key('lanes'), lane) end
end

local function enter_state(id, run)
  local score = whole(run.seq)
  if run.state == 'queued' then score = place(run) end
  if ENDED[run.state] then score = run.ended_at end
  redis.call('ZADD', key('state:' .. run.state), score, id)
  if run.state == 'queued' then enter_lane(id, run) end
end

local function leave_state(id, run)
  redis.call('ZREM', key('state:' .. run.state), id)
  if run.state == 'queued' then leave_lane(id, lane_of(run)) end
end

-- Everything that is derived from the record alone; a submit makes it, `mend` makes it again.
local function index(id, run)
  redis.call('ZADD', key('runs'), whole(run.seq), id)
  redis.call('ZADD', key('ids'), 0, id)
  for _, name in ipairs({'user:' .. run.user, 'name:' .. run.name, 'batch:' .. run.batch}) do
    if name ~= 'batch:' then
      expect(name, 'zset')
      redis.call('ZADD', key(name), whole(run.seq), id)
    end
  end
  enter_state(id, run)
end

-- An index was of the wrong type and has been set aside: make all of them again from the records.
function mend()
  local ids = redis.call('ZRANGE', key('runs'), 0, -1)
  for _, state in ipairs(STATES) do
    for _, id in ipairs(redis.call('ZRANGE', key('state:' .. state), 0, -1)) do ids[#ids + 1] = id end
  end
  for _, id in ipairs(ids) do
    local run = record(id)
    if run and redis.call('HEXISTS', key('quarantine'), id) == 0 then
      index(id, run)
      if run.state == 'running' and not redis.call('ZSCORE', key('leases'), id) then
        redis.call('ZADD', key('leases'), seconds(NOW + (A.lease or 60)), id)
      end
    end
  end
end

local INDEXES = {
  runs = 'zset', ids = 'zset', lanes = 'set', leases = 'zset', workers = 'zset', roots = 'zset',
  ['notices:open'] = 'zset', quarantine = 'hash', events = 'stream', bell = 'list', seq = 'string',
  ['notices:seq'] = 'string', ['reap:last'] = 'string', ['reap:hold'] = 'string',
}
for _, state in ipairs(STATES) do INDEXES['state:' .. state] = 'zset' end

local broken = false
for name, kind in pairs(INDEXES) do broken = expect(name, kind) or broken end
if broken then mend() end

-- INCR that survives a counter of garbage
local function count(name, floor)
  if not tonumber(redis.call('GET', key(name)) or '0') then redis.call('SET', key(name), floor) end
  return redis.call('INCR', key(name))
end

-- ---- what every change does ------------------------------------------------------------------------

local function ring(times)
  for _ = 1, math.min(times, 8) do redis.call('RPUSH', key('bell'), '1') end
  redis.call('LTRIM', key('bell'), 0, 7)
end

-- kind, run and by always; attempt, cause and text where there is something to say
local function event(kind, id, by, more)
  more = more or {}
  local entry = redis.call('XADD', key('events'), '*', 'kind', kind, 'run', id, 'at', seconds(NOW),
    'by', by or '', 'attempt', whole(more.attempt or 0), 'cause', more.cause or '',
    'text', more.text or '')
  redis.call('RPUSH', key('history:' .. id), entry)
  if ENDED[kind] then redis.call('ZADD', key('notices:open'), count('notices:seq', 0), entry) end
end

local function write(id, fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  redis.call('HSET', run_key(id), unpack(flat))
end

-- Move a sound record to another state, with the fields that come with it.
local function move(id, run, state, fields)
  leave_state(id, run)
  if run.state == 'running' then redis.call('ZREM', key('leases'), id) end
  fields.state = state
  if ENDED[state] then fields.ended_at = seconds(NOW) end
  if run.state == 'running' then fields.token = '' end
  write(id, fields)
  for name, value in pairs(fields) do
    if run[name] ~= nil and type(run[name]) == 'string' then run[name] = value end
  end
  enter_state(id, run)
  if state == 'queued' then ring(1) end
end

-- A record that cannot be trusted leaves every index and stays readable for people.
local function quarantine(id, reason, lane)
  if lane then leave_lane(id, lane) end
  for _, state in ipairs(STATES) do redis.call('ZREM', key('state:' .. state), id) end
  redis.call('ZREM', key('leases'), id)
  redis.call('HSET', key('quarantine'), id, reason)
  expect('history:' .. id, 'list')
  event('quarantined', id, A.by or '', {text = reason})
end

-- ---- attempts --------------------------------------------------------------------------------------

-- DONE-able, or the word that a script answers at once.
local function fenced(run)
  if not run then return 'lost' end
  if run.state == 'running' and run.token == A.token then return nil end
  if run.ended_token == A.token then return 'already' end
  return 'lost'
end

local function cancelled_by_wish(id, run, fields)
  fields.ended_by, fields.cause, fields.error = run.wish_by, 'cancelled', run.wish_reason
  move(id, run, 'cancelled', fields)
  event('cancelled', id, run.wish_by,
    {attempt = run.attempt, cause = 'cancelled', text = run.wish_reason})
end

-- Back to its old place for the next attempt: unless it was cancelled meanwhile, or crashes too often.
local function put_back(id, run, why)
  local fields = why.fields or {}
  local crashes = run.crashes + (why.crashed and 1 or 0)
  fields.crashes = whole(crashes)
  fields.stalls = whole(run.stalls + (why.stalled and 1 or 0))
  if run.wish == 'cancel' then return cancelled_by_wish(id, run, fields) end
  if why.crashed and crashes >= A.crash_limit then
    fields.cause, fields.ended_by = why.cause, why.by
    fields.error = why.text .. ' (crash ' .. whole(crashes) .. ', the limit)'
    move(id, run, 'failed', fields)
    return event('failed', id, why.by, {attempt = run.attempt, cause = why.cause, text = fields.error})
  end
  fields.worker = ''
  move(id, run, 'queued', fields)
  event('requeued', id, why.by, {attempt = run.attempt, cause = why.cause, text = why.text})
end

-- A worker is alive and sees this runs root.
local function seen(card, text)
  local worker = 'worker:' .. card.lane
  expect(worker, 'hash')
  redis.call('HSET', key(worker), 'card', text)
  redis.call('ZADD', key('workers'), seconds(NOW), card.lane)
  if card.runs_root ~= '' then redis.call('ZADD', key('roots'), seconds(NOW), card.runs_root) end
end
