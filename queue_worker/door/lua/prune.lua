-- Forget ended runs and all that only they had, except those that something else still needs.
-- reads   run:<id> children:<id> batch:<batch> history:<id> notices:open
-- writes  run:<id> log:<id> metrics:<id> history:<id> children:<id> notice:<event>, every index of the run,
--         events; of a batch that is empty then: batchcard:<batch> fails:<batch> batches controls
-- args    ids before (an end before it is old) dry: bool by
-- answer  [id, "" or why it stays, ...]

local function alive(ids)
  for _, id in ipairs(ids) do
    local state = redis.pcall('HGET', run_key(id), 'state')
    if type(state) == 'string' and not ENDED[state] then return id end
  end
end

-- One of a batch that has not ended, asked once for all of its runs: a large one would take minutes.
local asked = {}
local function alive_in(batch)
  if batch == '' then return nil end
  if asked[batch] == nil then
    asked[batch] = alive(redis.call('ZRANGE', key('batch:' .. batch), 0, -1)) or false
  end
  return asked[batch] or nil
end

local function why_kept(id, run)
  if not run or not ENDED[run.state] or tonumber(run.ended_at) >= A.before then return 'it is not old' end
  expect('children:' .. id, 'set')
  local child = alive(redis.call('SMEMBERS', key('children:' .. id)))
  if child then return child .. ' waits for it' end
  local other = alive_in(run.batch)
  if other then return other .. ' of its batch has not ended' end
  for _, entry in ipairs(redis.call('LRANGE', key('history:' .. id), 0, -1)) do
    if redis.call('ZSCORE', key('notices:open'), entry) then return 'nobody was told of its end yet' end
  end
end

local function forget_batch(batch)
  if batch == '' or redis.call('EXISTS', key('batch:' .. batch)) == 1 then return end
  redis.call('ZREM', key('batches'), batch)
  redis.call('HDEL', key('controls'), 'hold:batch:' .. batch)
  redis.call('DEL', key('batchcard:' .. batch), key('fails:' .. batch))
end

local function forget(id, run)
  leave_state(id, run)
  for _, parent in ipairs(parents_of(run.after)) do redis.call('SREM', key('children:' .. parent.id), id) end
  for _, what in ipairs({'user', 'name', 'batch', 'digest', 'retry_of'}) do
    redis.call('ZREM', key(what .. ':' .. run[what]), id)
  end
  for _, index_name in ipairs({'runs', 'ids'}) do redis.call('ZREM', key(index_name), id) end
  for _, entry in ipairs(redis.call('LRANGE', key('history:' .. id), 0, -1)) do
    redis.call('XDEL', key('events'), entry)
    redis.call('DEL', key('notice:' .. entry))
  end
  for _, what in ipairs({'run:', 'log:', 'metrics:', 'history:', 'children:'}) do
    redis.call('DEL', key(what .. id))
  end
  forget_batch(run.batch)
end

local answer, forgotten = {}, 0
for _, id in ipairs(A.ids) do
  local run = record(id)
  local why = why_kept(id, run) or ''
  if why == '' and not A.dry then
    forget(id, run)
    forgotten = forgotten + 1
  end
  answer[#answer + 1] = id
  answer[#answer + 1] = why
end
if forgotten > 0 then event('pruned', '', A.by, {text = forgotten .. ' ended runs'}) end
return answer
