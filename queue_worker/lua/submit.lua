-- Queue several runs, all or none. A repeat (same id, same nonce) changes nothing. What is too much
-- for one call comes in several: nothing of the batch starts before the last of them opens it.
-- reads   run:<id> seq lanes lane:<lane> usage:<user>
-- writes  run:<id> seq, the indexes, children:<parent>, batches batchcard:<batch>, events, history:<id>, bell
-- args    runs: [{id, nonce, fields: {...}, held: bool}], batch: {id, max_parallel} or false,
--         card_text, open: bool; in the first call what all of them need, so that none or all go in:
--         ids: [[id, nonce]], parents: [[id, parent]] of parents that are not submitted with them
-- answer  {"taken", id}, {"orphan", id, parent}, or {"ok", state, ahead, repeated, state, ...}

local function ours(id, nonce)
  local kind = redis.call('TYPE', run_key(id)).ok
  if kind == 'none' then return true, true end
  return kind == 'hash' and redis.call('HGET', run_key(id), 'nonce') == nonce, false
end

for _, pair in ipairs(A.ids) do
  if not ours(pair[1], pair[2]) then return {'taken', pair[1]} end
end
for _, pair in ipairs(A.parents) do
  if redis.call('EXISTS', run_key(pair[2])) == 0 then return {'orphan', pair[1], pair[2]} end
end
local fresh, asked = {}, {}
for _, submission in ipairs(A.runs) do
  local free, unknown = ours(submission.id, submission.nonce)
  if not free or asked[submission.id] then return {'taken', submission.id} end
  fresh[submission.id], asked[submission.id] = unknown or nil, true
end
if A.batch then
  local card = 'batchcard:' .. A.batch.id
  expect(card, 'hash')
  redis.call('ZADD', key('batches'), 'NX', whole(NOW_US), A.batch.id)
  redis.call('HSETNX', key(card), 'open', '0')
  redis.call('HSETNX', key(card), 'submitted_at', seconds(NOW))
  redis.call('HSET', key(card), 'card', A.card_text, 'max_parallel', whole(A.batch.max_parallel))
  if A.open then redis.call('HSET', key(card), 'open', '1') end
end

local rings, waiting = 0, {}
for _, submission in ipairs(A.runs) do
  local id = submission.id
  if fresh[id] then
    local fields = submission.fields
    fields.seq = whole(next_seq())
    fields.schema_number, fields.submitted_at, fields.nonce = whole(SCHEMA), seconds(NOW), submission.nonce
    fields.attempt, fields.crashes, fields.stalls = '0', '0', '0'
    local from = fields.after and 'waiting' or 'queued'
    fields.state = submission.held and 'held' or from
    if submission.held then fields.held_from = from end
    write(id, fields)
    index(id, trusted(fields))
    event('submitted', id, fields.user)
    if submission.held then event('held', id, fields.held_by, {text = fields.held_reason}) end
    if fields.state == 'waiting' then waiting[#waiting + 1] = id end
    if fields.state == 'queued' then rings = rings + 1 end
  end
end
for _, id in ipairs(waiting) do settle(id) end
ring(A.open and math.max(rings, 1) or rings)

local answer, queued, slot = {'ok'}, {}, {}
for i, submission in ipairs(A.runs) do
  local run = record(submission.id)
  answer[3 * i - 1] = redis.call('HGET', run_key(submission.id), 'state')
  answer[3 * i] = 0
  answer[3 * i + 1] = fresh[submission.id] and 0 or 1
  if run and run.state == 'queued' then
    queued[#queued + 1], slot[#slot + 1] = {id = submission.id, run = run}, 3 * i
  end
end
for i, number in ipairs(ahead_of(queued)) do answer[slot[i]] = number end
return answer
