-- Runs as JSON objects with the columns of a list. Reads only; a broken record gives no row.
-- reads   run:<id> leases
-- args    ids, text: names of plain fields, json: names of fields that hold JSON
-- answer  one JSON object a line: a single reply, because a client parses many small ones slowly

local names = {}
for _, name in ipairs(A.text) do names[#names + 1] = name end
for _, name in ipairs(A.json) do names[#names + 1] = name end

local rows = {}
for _, id in ipairs(A.ids) do
  local values = redis.pcall('HMGET', run_key(id), unpack(names))
  if not values.err then
    local parts = {'"id":' .. cjson.encode(id)}
    for i, name in ipairs(names) do
      local value = values[i]
      if value and value ~= '' then
        local text = i > #A.text and value or cjson.encode(value)
        parts[#parts + 1] = '"' .. name .. '":' .. text
        if name == 'state' and value == 'running' then
          local lease = redis.call('ZSCORE', key('leases:2'), id)
          if lease then parts[#parts + 1] = '"lease_until":' .. lease end
        end
      end
    end
    rows[#rows + 1] = '{' .. table.concat(parts, ',') .. '}'
  end
end
return table.concat(rows, '\n')
