-- What several scripts do: events, moves between states, ends, and what follows from an end.

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
  if id ~= '' then redis.call('RPUSH', key('history:' .. id), entry) end
  if ENDED[kind] or kind == 'paused' then
    redis.call('ZADD', key('notices:open'), count('notices:seq', 0), entry)
  end
end

-- Move a sound record to another state, with the fields that come with it.
local function move(id, run, state, fields)
  leave_state(id, run)
  if run.state == 'running' then
    local lease = tonumber(redis.call('ZSCORE', key('leases:2'), id) or '')
    charge(id, run, math.min(NOW, lease or NOW))
    drop_lease(id)
  end
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

-- ---- dependencies ----------------------------------------------------------------------------------

-- What its parents say of a run that waits: nil for go, or 'wait', or 'skip' with the parent and why.
local function verdict_of_parents(run)
  local waits
  for _, parent in ipairs(parents_of(run.after)) do
    local state = redis.pcall('HGET', run_key(parent.id), 'state')
    if type(state) ~= 'string' then state = 'gone' end
    local ended = ENDED[state] or state == 'gone'
    if parent.on ~= 'any' and ended and state ~= 'finished' then return 'skip', parent.id, state end
    if not ended then waits = 'wait' end
  end
  return waits
end

local conclude

-- A waiting run goes on, or never will, once its parents have said enough.
local function settle(id)
  local run = record(id)
  if not run or run.state ~= 'waiting' then return end
  local verdict, parent, state = verdict_of_parents(run)
  if verdict == 'skip' then
    local why = 'parent ' .. parent .. ' is ' .. state
    conclude(id, run, 'skipped',
      {skipped_for = parent, error = why, ended_by = 'trainq'}, 'trainq', {text = why})
  elseif not verdict then
    move(id, run, 'queued', {})
    event('ready', id, 'trainq')
  end
end

local function settle_children(id)
  expect('children:' .. id, 'set')
  for _, child in ipairs(redis.call('SMEMBERS', key('children:' .. id))) do settle(child) end
end

-- To an ended state, with its event; then the children, and theirs, without recursion.
local ended_now, settling = {}, false
function conclude(id, run, state, fields, by, told)
  move(id, run, state, fields)
  event(state, id, by, told)
  ended_now[#ended_now + 1] = id
  if settling then return end
  settling = true
  local i = 1
  while ended_now[i] do
    settle_children(ended_now[i])
    i = i + 1
  end
  ended_now, settling = {}, false
end

-- A held run goes on from where it was held.
local function let_go(id, run, by)
  redis.call('ZREM', key('edits'), id)
  move(id, run, run.held_from == 'waiting' and 'waiting' or 'queued', {held_by = '', held_reason = ''})
  event('released', id, by)
  settle(id)
end

-- ---- controls ---------------------------------------------------------------------------------------

local function control(what) return redis.call('HGET', key('controls'), what) end

local function set_control(what, by, reason, value)
  redis.call('HSET', key('controls'), what,
    cjson.encode({by = by, reason = reason, at = NOW, value = value or 0}))
end

-- A record that cannot be trusted leaves every index and stays readable for people.
local function quarantine(id, reason, lane)
  if lane then leave_lane(id, lane) end
  for _, state in ipairs(STATES) do redis.call('ZREM', key('state:' .. state), id) end
  drop_lease(id)
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
  conclude(id, run, 'cancelled', fields, run.wish_by,
    {attempt = run.attempt, cause = 'cancelled', text = run.wish_reason})
end

-- A worker is alive and sees this runs root.
local function seen(card, text)
  local worker = 'worker:' .. card.lane
  expect(worker, 'hash')
  redis.call('HSET', key(worker), 'card', text)
  redis.call('ZADD', key('workers'), seconds(NOW), card.lane)
  if card.runs_root ~= '' then redis.call('ZADD', key('roots'), seconds(NOW), card.runs_root) end
end

-- ---- circuit breakers -------------------------------------------------------------------------------

local STREAK = 3
local NOT_ITS_FAULT = {cancelled = true, drained = true, timeout = true, config = true}

-- Three in a row that the host may be to blame for, from two batches at least: it takes nothing more.
local function judge_worker(id, run, cause, began)
  local bad = 'bad:' .. run.worker
  expect(bad, 'list')
  local faulty = cause == 'gpu_fault' or cause == 'host_oom'
  if not faulty and began then return redis.call('DEL', key(bad)) end
  if not faulty and NOT_ITS_FAULT[cause] then return end
  redis.call('RPUSH', key(bad), run.batch ~= '' and run.batch or id)
  redis.call('LTRIM', key(bad), -STREAK, -1)
  local last = redis.call('LRANGE', key(bad), 0, -1)
  local batches, several = {}, false
  for _, batch in ipairs(last) do
    several = several or (batches[1] and batches[1] ~= batch)
    batches[1] = batches[1] or batch
  end
  local what = 'hold:worker:' .. run.worker
  if #last < STREAK or not several or control(what) then return end
  local why = 'the last ' .. STREAK .. ' attempts of ' .. run.worker .. ' ended '
    .. (faulty and 'in ' .. cause or 'before a first step') .. ': it takes no more runs'
  redis.call('DEL', key(bad))
  set_control(what, 'trainq', why)
  event('paused', id, run.worker, {attempt = run.attempt, cause = cause, text = why})
end

-- Three runs of a batch that fail alike: the rest would too.
local function judge_batch(id, run, cause, text)
  if run.batch == '' then return end
  local fails = 'fails:' .. run.batch
  expect(fails, 'list')
  redis.call('RPUSH', key(fails), cause .. ' ' .. string.gsub(text, '%d+', '#'))
  redis.call('LTRIM', key(fails), -STREAK, -1)
  local last = redis.call('LRANGE', key(fails), 0, -1)
  for _, failure in ipairs(last) do
    if failure ~= last[1] then return end
  end
  local what = 'hold:batch:' .. run.batch
  if #last < STREAK or control(what) then return end
  local left = redis.call('ZINTER', 2, key('batch:' .. run.batch), key('state:queued'))
  if #left == 0 then return end
  local why = STREAK .. ' runs of batch ' .. run.batch .. ' failed alike (' .. cause .. '): '
    .. #left .. ' more are held'
  redis.call('DEL', key(fails))
  set_control(what, 'trainq', why)
  event('paused', id, run.worker, {attempt = run.attempt, cause = cause, text = why})
end

-- ---- back in line ------------------------------------------------------------------------------------

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
    conclude(id, run, 'failed', fields, why.by,
      {attempt = run.attempt, cause = why.cause, text = fields.error})
    return judge_batch(id, run, why.cause, fields.error)
  end
  fields.worker = ''
  move(id, run, 'queued', fields)
  event('requeued', id, why.by, {attempt = run.attempt, cause = why.cause, text = why.text})
end
