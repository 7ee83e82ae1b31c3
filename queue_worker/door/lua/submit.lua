-- Queue several runs, all or none. A repeat (same id, same nonce) changes nothing. What is too much
-- for one call comes in several: nothing of the batch starts before the last of them opens it.
-- reads   run:<id> seq lanes lane:<lane> usage:<user>
-- writes  run:<id> seq, the indexes, children:<parent>, batches batchcard:<batch>, events, history:<id>, bell
-- args    runs: [{id, nonce, fields: {...}, config: [which pieces]}], alike: fields that all of them
--         have; the pieces of all configs, each `"key":value`, as further arguments of the script;
--         batch: {id, max_parallel} or false, card_text, open: bool; in the first call what all of
--         them need, so that none or all go in:
--         ids: [[id, nonce]], parents: [[id, parent]] of parents that are not submitted with them
-- answer  {"taken", id}, {"orphan", id, parent}, or {"ok", [[state, ahead, repeated], ...] as JSON}

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
local asked, new = {}, 0
for _, submission in ipairs(A.runs) do
  local free, unknown = ours(submission.id, submission.nonce)
  if not free or asked[submission.id] then return {'taken', submission.id} end
  asked[submission.id], submission.fresh = true, unknown
  new = new + (unknown and 1 or 0)
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

local function config_of(places)
  local pieces = {}
  for i, place in ipairs(places) do pieces[i] = ARGV[1 + place] end
  return '{' .. table.concat(pieces, ',') .. '}'
end

local seq = new > 0 and next_seq(new)
local entering, waiting, rings = {}, {}, 0
for _, submission in ipairs(A.runs) do
  if submission.fresh then
    local id, fields = submission.id, submission.fields
    for name, value in pairs(A.alike) do fields[name] = value end
    fields.seq, seq = whole(seq), seq + APART
    fields.config = config_of(submission.config)
    fields.schema_number, fields.submitted_at, fields.nonce = whole(SCHEMA), seconds(NOW), submission.nonce
    fields.attempt, fields.crashes, fields.stalls = '0', '0', '0'
    local from = fields.after and 'waiting' or 'queued'
    fields.state = fields.held_by and 'held' or from
    if fields.held_by then fields.held_from = from end
    write(id, fields)
    event('submitted', id, fields.user)
    if fields.held_by then event('held', id, fields.held_by, {text = fields.held_reason}) end
    if fields.state == 'waiting' then waiting[#waiting + 1] = id end
    if fields.state == 'queued' then rings = rings + 1 end
    entering[#entering + 1] = {id = id, run = trusted(fields)}
    if fields.state ~= 'waiting' then submission.run = entering[#entering].run end
  end
end
index(entering)
for _, id in ipairs(waiting) do settle(id) end
ring(A.open and math.max(rings, 1) or rings)

local answer, queued = {}, {}
for i, submission in ipairs(A.runs) do
  local id, run = submission.id, submission.run or record(submission.id)
  answer[i] = {run and run.state or redis.call('HGET', run_key(id), 'state'), 0, not submission.fresh}
  if run and run.state == 'queued' then
    queued[#queued + 1] = {id = id, run = run, place = submission.run and place(run), answer = answer[i]}
  end
end
for i, number in ipairs(ahead_of(queued)) do queued[i].answer[2] = number end
return {'ok', cjson.encode(answer)}
