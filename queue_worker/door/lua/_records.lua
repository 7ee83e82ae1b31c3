-- The clock, and records that can be trusted. Stands first before every script.
-- KEYS[1] is the prefix, ARGV[1] one JSON object of named arguments (A). A Lua error is not rolled
-- back, so each script checks everything first and writes last. Keys: see the top of queue.py.

local PREFIX, A = KEYS[1], cjson.decode(ARGV[1])
local SCHEMA = 2
local STATES = {'waiting', 'queued', 'held', 'running', 'finished', 'failed', 'cancelled', 'skipped'}
local PENDING = {waiting = true, queued = true, held = true}
local ENDED = {finished = true, failed = true, cancelled = true, skipped = true}
local KNOWN = {}
for _, state in ipairs(STATES) do KNOWN[state] = true end

local clock = redis.call('TIME')
local NOW = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local NOW_US = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function key(name) return PREFIX .. name end
local function run_key(id) return key('run:' .. id) end
local function seconds(value) return string.format('%.6f', value) end
local function whole(value) return string.format('%.0f', value) end

-- An index of the wrong type would stop a script half-way: move it out of the way, say so.
local function expect(name, kind)
  local found = redis.call('TYPE', key(name)).ok
  if found == kind or found == 'none' then return false end
  redis.call('RENAME', key(name), key('broken:' .. name))
  return true
end

local WHOLE = {'seq', 'priority', 'attempt', 'crashes', 'stalls'}
local OPTIONAL = {gpus = 1, memory_mb = 0, time_limit_s = 0, ran_s = 0, charged_at = 0}
local FIELDS = {
  'shift', 'seq', 'priority', 'attempt', 'crashes', 'stalls',
  'gpus', 'memory_mb', 'time_limit_s', 'ran_s', 'charged_at',
  'state', 'schema_number', 'token', 'user', 'needs_host', 'runs_root', 'checkpoint', 'start_from',
  'wish', 'wish_by', 'wish_reason', 'worker', 'nonce', 'name', 'batch', 'ended_at', 'ended_token',
  'held_from', 'claim_boot', 'claim_root', 'checkpoint_step', 'checkpoint_token', 'log_number',
  'after', 'digest', 'retry_of',
}

-- What a run waits for: [{id, on}], or nil for text that says no such thing.
local function parents_of(text)
  if text == '' then return {} end
  local ok, parents = pcall(cjson.decode, text)
  if not ok or type(parents) ~= 'table' then return nil end
  for _, parent in ipairs(parents) do
    if type(parent) ~= 'table' or type(parent.id) ~= 'string' then return nil end
  end
  return parents
end

-- The values that scripts decide by, or nil and why they cannot be trusted.
local function trusted(fields)
  local run = {}
  for _, name in ipairs(FIELDS) do run[name] = fields[name] or '' end
  for _, name in ipairs(WHOLE) do
    local number = tonumber(run[name])
    if not number or number ~= math.floor(number) or math.abs(number) > 2 ^ 53 then
      return nil, name .. ' is not a whole number'
    end
    run[name] = number
  end
  for name, default in pairs(OPTIONAL) do
    local number = run[name] == '' and default or tonumber(run[name])
    if not number or not (number >= 0 and number < 2 ^ 53) then
      return nil, name .. ' is not a number that it can be'
    end
    run[name] = number
  end
  run.shift = run.shift == '' and 0 or tonumber(run.shift)
  if not run.shift or not (math.abs(run.shift) < 2 ^ 53) then return nil, 'shift is not a number' end
  if math.abs(run.priority) > 1000 then return nil, 'priority is not between -1000 and 1000' end
  if not KNOWN[run.state] then return nil, 'no such state: ' .. string.sub(run.state, 1, 40) end
  if ENDED[run.state] and not tonumber(run.ended_at) then return nil, 'ended_at is not a number' end
  if not parents_of(run.after) then return nil, 'after is not a list of runs' end
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

local function write(id, fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  redis.call('HSET', run_key(id), unpack(flat))
end

-- Written by this version or an earlier one; a later one may mean something else by it.
local function readable(run) return (tonumber(run.schema_number) or 0) <= SCHEMA end
