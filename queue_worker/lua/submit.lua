-- Queue several runs, all or none. A repeat (same id, same nonce) changes nothing.
-- reads   run:<id> seq
-- writes  run:<id> seq, the indexes, events, history:<id>, bell
-- args    runs: [{id, nonce, fields: {...}, held: bool}]
-- answer  {"taken", id}, or {"ok", state, ahead, repeated, state, ahead, repeated, ...}

local fresh, asked = {}, {}
for _, submission in ipairs(A.runs) do
  local kind = redis.call('TYPE', run_key(submission.id)).ok
  if kind == 'none' and not asked[submission.id] then
    fresh[submission.id] = true
  elseif kind ~= 'hash' or redis.call('HGET', run_key(submission.id), 'nonce') ~= submission.nonce then
    return {'taken', submission.id}
  end
  asked[submission.id] = true
end

local answer = {'ok'}
local rings = 0
for _, submission in ipairs(A.runs) do
  local id = submission.id
  if fresh[id] then
    local last = redis.call('ZRANGE', key('runs'), -1, -1, 'WITHSCORES')[2] or '0'
    local fields = submission.fields
    fields.seq = whole(count('seq', last))
    fields.schema_number, fields.submitted_at, fields.nonce = whole(SCHEMA), seconds(NOW), submission.nonce
    fields.attempt, fields.crashes, fields.stalls = '0', '0', '0'
    fields.state = submission.held and 'held' or 'queued'
    if submission.held then fields.held_from = 'queued' end
    write(id, fields)
    index(id, trusted(fields))
    event('submitted', id, fields.user)
    if submission.held then event('held', id, fields.held_by, {text = fields.held_reason}) end
    if not submission.held then rings = rings + 1 end
  end
end
for _, submission in ipairs(A.runs) do
  local id = submission.id
  answer[#answer + 1] = redis.call('HGET', run_key(id), 'state')
  answer[#answer + 1] = redis.call('ZRANK', key('state:queued'), id) or 0
  answer[#answer + 1] = fresh[id] and 0 or 1
end
ring(rings)
return answer
