-- Batches, newest first, with how many of their runs are in each state. Reads only.
-- reads   batches batchcard:<batch> batch:<batch> state:<state> retry_of:<run>
-- args    ids: [batch] or, when empty, the newest; limit, states, tried: states that a retry answers
-- answer  [card JSON, submitted_at, open, number for each state, of each of `tried` how many of them
--         were tried again, ...]

local function inside(batch, state)
  return redis.call('ZINTER', 2, key('batch:' .. batch), key('state:' .. state))
end

local function tried_again(runs)
  local number = 0
  for _, id in ipairs(runs) do number = number + redis.call('EXISTS', key('retry_of:' .. id)) end
  return number
end

local ids = A.ids
if #ids == 0 then ids = redis.call('ZREVRANGE', key('batches'), 0, A.limit - 1) end
local answer = {}
for _, id in ipairs(ids) do
  local fields = redis.pcall('HMGET', key('batchcard:' .. id), 'card', 'submitted_at', 'open')
  if not fields.err and fields[1] then
    for i = 1, 3 do answer[#answer + 1] = fields[i] or '' end
    for _, state in ipairs(A.states) do answer[#answer + 1] = #inside(id, state) end
    for _, state in ipairs(A.tried) do answer[#answer + 1] = tried_again(inside(id, state)) end
  end
end
return answer
