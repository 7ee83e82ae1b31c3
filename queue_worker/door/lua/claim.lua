-- Give a worker the first run that it can serve: lease, attempt, token and RQ job in one step.
-- reads   rq:suspended lanes lane:<lane> run:<id> roots reap:last reap:hold controls usage:<user>
--         leases batchcard:<batch>
-- writes  run:<id>, state and lane indexes, leases, worker:<lane> workers roots, events, history:<id>,
--         quarantine, metrics:<id>; rq:job:<id>-<n> rq:queues rq:queue:<rq_queue>
-- args    card card_text nonce lease resume_wait rq_queue rq_now rq_ttl by
-- answer  {} or {id, token, lease, RQ job or "", flat fields of the run}

seen(A.card, A.card_text)
if redis.call('EXISTS', 'rq:suspended') == 1 then return {} end

local function granted(id, token, job)
  local lease = redis.call('ZSCORE', key('leases:2'), id) or seconds(NOW + A.lease)
  return {id, token, lease, job, redis.call('HGETALL', run_key(id))}
end

-- The reply of this very claim was lost: the same answer again, or nothing if it is over.
local worker = 'worker:' .. A.card.lane
local before = redis.call('HMGET', key(worker), 'claim_nonce', 'claim_run', 'claim_token', 'claim_job')
if before[1] == A.nonce then
  local run = record(before[2] or '')
  if not run or run.state ~= 'running' or run.token ~= before[3] then return {} end
  return granted(before[2], before[3], before[4] or '')
end

-- A checkpoint is worth waiting for, but not for ever. Time in which nobody reaped does not count:
-- Redis or everybody was away, and the root's own workers could not say that they live.
local reaped = tonumber(redis.call('GET', key('reap:last')) or '')
local held_back = tonumber(redis.call('GET', key('reap:hold')) or '') or 0
local time_counts = reaped and NOW - reaped <= A.lease / 2 and NOW >= held_back

local function root_is_gone(root)
  redis.call('ZADD', key('roots'), 'NX', seconds(NOW), root)
  local last = tonumber(redis.call('ZSCORE', key('roots'), root))
  return time_counts and NOW - last > A.resume_wait
end

local controls = redis.call('HGETALL', key('controls'))
for i = 1, #controls, 2 do controls[controls[i]] = controls[i + 1] end
for _, what in ipairs({'hold:all', 'hold:worker:' .. A.card.lane, 'drain:worker:' .. A.card.lane,
  'hold:host:' .. A.card.host, 'drain:host:' .. A.card.host}) do
  if controls[what] then return {} end
end

-- How many run now, of a person or of a batch; counted from the leases, so it cannot drift.
local running
local function runs_now(what)
  if not running then
    running = {}
    for _, id in ipairs(redis.call('ZRANGE', key('leases:2'), 0, -1)) do
      local values = redis.pcall('HMGET', run_key(id), 'user', 'batch')
      for i, kind in ipairs({'user:', 'batch:'}) do
        local name = values[i] and kind .. values[i]
        if name then running[name] = (running[name] or 0) + 1 end
      end
    end
  end
  return running[what] or 0
end

local function below_cap(what, cap) return cap == 0 or runs_now(what) < cap end

local function value_of(text)
  local ok, found = pcall(cjson.decode, text or '')
  return ok and type(found) == 'table' and tonumber(found.value) or 0
end

-- People and batches that may have one more run started; asked once each.
local allowed = {}
local function user_allowed(user)
  local what = 'user:' .. user
  if allowed[what] == nil then
    allowed[what] = not controls['hold:' .. what] and below_cap(what, value_of(controls['cap:' .. what]))
  end
  return allowed[what]
end

local function batch_allowed(batch)
  if batch == '' then return true end
  local what = 'batch:' .. batch
  if allowed[what] == nil then
    expect('batchcard:' .. batch, 'hash')
    local open, cap = unpack(redis.call('HMGET', key('batchcard:' .. batch), 'open', 'max_parallel'))
    allowed[what] = open ~= '0' and not controls['hold:' .. what]
      and below_cap(what, tonumber(cap or '') or 0)
  end
  return allowed[what]
end

local function fits(lane)
  if lane.gpus > (A.card.gpus or 1) then return false end
  return A.card.offer_mb == 0 or lane.gib * 1024 <= A.card.offer_mb
end

local function serves(name)
  local lane = lane_parts(name)
  if not lane or not fits(lane) then return false end
  if lane.host ~= '' and lane.host ~= A.card.host and lane.host ~= A.card.lane then return false end
  if not user_allowed(lane.user) then return false end
  return lane.root == '' or lane.root == A.card.runs_root or root_is_gone(lane.root)
end

-- The run at an index of a lane: the first, or after those that belong to another version.
local function peek(lane, from)
  local entry = redis.pcall('ZRANGE', key('lane:' .. lane), from, from, 'WITHSCORES')
  if entry.err then -- not a lane: set it aside and make it again
    expect('lane:' .. lane, 'zset')
    mend()
    entry = redis.call('ZRANGE', key('lane:' .. lane), from, from, 'WITHSCORES')
  end
  if not entry[1] then return nil end
  local parts, at = lane_parts(lane), tonumber(entry[2])
  return {lane = lane, from = from, id = entry[1], rank = at + penalty(parts.user), place = at, batch = parts.batch}
end

local heads = {}
for _, lane in ipairs(redis.call('SMEMBERS', key('lanes:2'))) do
  if serves(lane) then heads[#heads + 1] = peek(lane, 0) end
end

local function before(one, other)
  if one.rank ~= other.rank then return one.rank < other.rank end
  return one.place < other.place
end

local function first()
  local lowest
  for i, head in ipairs(heads) do
    if not lowest or before(head, heads[lowest]) then lowest = i end
  end
  return lowest
end

-- The run at the head of a lane. Debris and broken records go on the way; they never stop the next one.
local function sound(head)
  local run, reason = record(head.id)
  if run and run.state == 'queued' and readable(run) then return {id = head.id, run = run, lane = head.lane} end
  if not run then
    quarantine(head.id, reason, head.lane)
  elseif run.state ~= 'queued' then
    leave_lane(head.id, head.lane)
  else
    head.from = head.from + 1 -- another version's: left alone
  end
  heads[#heads + 1] = peek(head.lane, head.from)
end

-- There may be hundreds of batches: only whichever comes first is asked whether it may have one more.
local best
while not best do
  local i = first()
  if not i then return {} end
  local head = table.remove(heads, i)
  if batch_allowed(head.batch) then best = sound(head) end
end

local id, run = best.id, best.run
local attempt = whole(run.attempt + 1)
local token = attempt .. '-' .. A.nonce
local job = id .. '-' .. attempt
leave_lane(id, best.lane)
local fields = {
  attempt = attempt, token = token, worker = A.card.lane, claim_root = A.card.runs_root,
  claim_boot = A.card.boot_id, claim_lease = seconds(A.lease), log_number = '0', held_by = '', held_reason = '',
  charged_at = seconds(NOW), ran_code = A.card.code or '',
}
if redis.call('HGET', run_key(id), 'started_at') == false then fields.started_at = seconds(NOW) end

local root = lane_parts(best.lane).root
if root ~= '' and root ~= A.card.runs_root then
  for _, name in ipairs({'checkpoint', 'start_from', 'runs_root', 'progress', 'best'}) do
    fields[name] = ''
  end
  fields.checkpoint_step = '0'
  redis.call('DEL', key('metrics:' .. id))
  event('started_over', id, A.card.lane, {attempt = run.attempt + 1,
    text = 'no worker of runs root ' .. root .. ' is alive: from step 0'})
end
move(id, run, 'running', fields)
redis.call('ZADD', key('leases:2'), seconds(NOW + A.lease), id)
event('claimed', id, A.card.lane, {attempt = run.attempt + 1})

-- RQ's records are a window: whatever is wrong with its keys, the run starts.
local function rq(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then job = '' end
end
local rq_job = 'rq:job:' .. job
rq('DEL', rq_job)
-- trainq.attempt(id, attempt) as a pickle, in its opcodes of plain text: rq-dashboard reads nothing
-- else. We unpickle nothing.
rq('HSET', rq_job, 'data', '(Vtrainq.attempt\nN(V' .. id .. '\nI' .. attempt .. '\nt(dt.',
  'created_at', A.rq_now, 'enqueued_at', A.rq_now, 'last_heartbeat', A.rq_now, 'status', 'queued',
  'origin', A.rq_queue, 'description', run.name .. ' (' .. run.user .. ')', 'timeout', '-1',
  'result_ttl', A.rq_ttl, 'failure_ttl', A.rq_ttl)
rq('EXPIRE', rq_job, 30 * 86400)
rq('SADD', 'rq:queues', 'rq:queue:' .. A.rq_queue)
rq('RPUSH', 'rq:queue:' .. A.rq_queue, id .. '-' .. attempt)

redis.call('HSET', key(worker), 'claim_nonce', A.nonce, 'claim_run', id, 'claim_token', token,
  'claim_job', job)
return granted(id, token, job)
