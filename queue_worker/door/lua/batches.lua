-- Batches, newest first, with how many of their runs are in each state. Reads only.
-- reads   batches batchcard:<batch> batch:<batch> state:<state>
-- args    ids: [batch] or, when empty, the newest; limit, states
-- answer  [card JSON, submitted_at, open, number for each state, ...]

local ids = A.ids
if #ids == 0 then ids = redis.call('ZREVRANGE', key('batches'), 0, A.limit - 1) end
local answer = {}
for _, id in ipairs(ids) do
  local fields = redis.pcall('HMGET', key('batchcard:' .. id), 'card', 'submitted_at', 'open')
  if not fields.err and fields[1] then
    for i = 1, 3 do answer[#answer + 1] = fields[i] or '' end
    for _, state in ipairs(A.states) do
      answer[#answer + 1] = #redis.call('ZINTER', 2, key('batch:' .. id), key('state:' .. state))
    end
  end
end
return answer
