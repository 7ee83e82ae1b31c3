-- Give a worker the first run that it can serve: lease, attempt, token and RQ job in one step.
-- reads   rq:suspended lanes lane:<lane> run:<id> roots reap:last reap:hold
-- writes  run:<id>, state and lane indexes, leases, worker:<lane> workers roots, events, history:<id>,
--         quarantine, metrics:<id>; rq:job:<id>-<n> rq:queues rq:queue:<rq_queue>
-- args    card card_text nonce lease resume_wait rq_queue rq_now rq_ttl by
-- answer  {} or {id, token, lease, RQ job or "", flat fields of the run}

seen(A.card, A.card_text)
if redis.call('EXISTS', 'rq:suspended') == 1 then return {} end

local function granted(id, token, job)
  local lease = redis.call('ZSCORE', key('leases'), id) or seconds(NOW + A.lease)
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

local function serves(lane)
  local host, root = string.match(lane, '|([^|]*)|([^|]*)$')
  if not host or (host ~= '' and host ~= A.card.host) then return false end
  return root == '' or root == A.card.runs_root or root_is_gone(root)
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
  return {lane = lane, from = from, id = entry[1], place = tonumber(entry[2])}
end

local heads = {}
for _, lane in ipairs(redis.call('SMEMBERS', key('lanes'))) do
  if serves(lane) then heads[#heads + 1] = peek(lane, 0) end
end

local function first()
  local lowest
  for i, head in ipairs(heads) do
    if not lowest or head.place < heads[lowest].place then lowest = i end
  end
  return lowest
end

-- Debris and broken records go on the way; they never stop the next one.
local best
while not best do
  local i = first()
  if not i then return {} end
  local head = table.remove(heads, i)
  local run, reason = record(head.id)
  if run and run.state == 'queued' and run.schema_number == whole(SCHEMA) then
    best = {id = head.id, run = run, lane = head.lane}
  else
    if not run then
      quarantine(head.id, reason, head.lane)
    elseif run.state ~= 'queued' then
      leave_lane(head.id, head.lane)
    else
      head.from = head.from + 1 -- another version's: left alone
    end
    heads[#heads + 1] = peek(head.lane, head.from)
  end
end

local id, run = best.id, best.run
local attempt = whole(run.attempt + 1)
local token = attempt .. '-' .. A.nonce
local job = id .. '-' .. attempt
leave_lane(id, best.lane)
local fields = {
  attempt = attempt, token = token, worker = A.card.lane, claim_root = A.card.runs_root,
  claim_boot = A.card.boot_id, claim_lease = seconds(A.lease), log_number = '0', held_by = '', held_reason = '',
}
if redis.call('HGET', run_key(id), 'started_at') == false then fields.started_at = seconds(NOW) end

local _, root = string.match(best.lane, '|([^|]*)|([^|]*)$')
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
redis.call('ZADD', key('leases'), seconds(NOW + A.lease), id)
event('claimed', id, A.card.lane, {attempt = run.attempt + 1})

-- RQ's records are a window: whatever is wrong with its keys, the run starts.
local function rq(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then job = '' end
end
local rq_job = 'rq:job:' .. job
rq('DEL', rq_job)
rq('HSET', rq_job, 'data', '["trainq.attempt",null,["' .. id .. '",' .. attempt .. '],{}]',
  'created_at', A.rq_now, 'enqueued_at', A.rq_now, 'last_heartbeat', A.rq_now, 'status', 'queued',
  'origin', A.rq_queue, 'description', run.name .. ' (' .. run.user .. ')', 'timeout', '-1',
  'result_ttl', A.rq_ttl, 'failure_ttl', A.rq_ttl)
rq('EXPIRE', rq_job, 30 * 86400)
rq('SADD', 'rq:queues', 'rq:queue:' .. A.rq_queue)
rq('RPUSH', 'rq:queue:' .. A.rq_queue, id .. '-' .. attempt)

redis.call('HSET', key(worker), 'claim_nonce', A.nonce, 'claim_run', id, 'claim_token', token,
  'claim_job', job)
return granted(id, token, job)
