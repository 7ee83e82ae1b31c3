-- Ids in the order asked for, all indexes at one instant: no run is missed or seen twice. Reads only;
-- a script may read on a full server, MULTI may not.
-- reads   state:<state>, the indexes named by `filters`, and for who is next lanes and usage:<user>
-- args    states filters limit (0: none) newest: of the ended ones first
-- answer  [id, ...]; ended runs of several states are merged by time

local function members(state)
  local index = key('state:' .. state)
  if #A.filters > 0 then
    local words, weights = {index}, {'WEIGHTS', '1'}
    for _, name in ipairs(A.filters) do
      words[#words + 1], weights[#weights + 1] = key(name), '0'
    end
    for _, word in ipairs(weights) do words[#words + 1] = word end
    words[#words + 1] = 'WITHSCORES'
    return redis.call('ZINTER', #A.filters + 1, unpack(words))
  end
  local direction = ENDED[state] and A.newest and 'ZREVRANGE' or 'ZRANGE'
  return redis.call(direction, index, 0, A.limit - 1, 'WITHSCORES')
end

local ids, ended = {}, {}
for _, state in ipairs(A.states) do
  local shared = state == 'queued' and #A.filters == 0 -- of all people: their shares count
  for _, id in ipairs(shared and in_line(A.limit) or {}) do ids[#ids + 1] = id end
  local found = shared and {} or members(state)
  for i = 1, #found, 2 do
    if ENDED[state] then
      ended[#ended + 1] = {id = found[i], at = tonumber(found[i + 1])}
    else
      ids[#ids + 1] = found[i]
    end
  end
end

table.sort(ended, function(one, other)
  if one.at == other.at then return one.id < other.id end
  return A.newest == (one.at > other.at)
end)
for _, run in ipairs(ended) do ids[#ids + 1] = run.id end
if A.limit > 0 then
  for i = #ids, A.limit + 1, -1 do ids[i] = nil end
end
return ids
