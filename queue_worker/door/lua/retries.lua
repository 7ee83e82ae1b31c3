-- What has become of runs that were tried again: of each the last of its retries' retries. Reads only.
-- reads   retry_of:<run>
-- args    ids
-- answer  [id, the newest of its line] of those that were tried again

local function newest(id)
  local found = redis.pcall('ZREVRANGE', key('retry_of:' .. id), 0, 0)
  return not found.err and found[1] or nil
end

local answer = {}
for _, id in ipairs(A.ids) do
  local last, met = id, {}
  while last and not met[last] do -- records that were put back by hand may go round in a circle
    met[last], met.last = true, last
    last = newest(last)
  end
  if met.last ~= id then
    answer[#answer + 1], answer[#answer + 2] = id, met.last
  end
end
return answer
