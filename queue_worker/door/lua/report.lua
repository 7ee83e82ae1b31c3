-- Lines, metrics and progress of the live token. A repeated batch adds no line twice.
-- reads   run:<id>
-- writes  run:<id> log:<id> metrics:<id>
-- args    id token number fields: {...} log: [text] metrics: [{epoch, row}] keep: lines kept
-- answer  done | already | lost

local run = record(A.id)
local answer = fenced(run)
if answer then return answer end
expect('log:' .. A.id, 'list')
expect('metrics:' .. A.id, 'hash')

local fields = A.fields
if A.number == 0 or A.number > (tonumber(run.log_number) or 0) then
  for _, line in ipairs(A.log) do redis.call('RPUSH', key('log:' .. A.id), line) end
  redis.call('LTRIM', key('log:' .. A.id), -A.keep, -1)
  local lines = tonumber(redis.call('HGET', run_key(A.id), 'log_next') or '') or 0
  fields.log_next = whole(lines + #A.log)
  if A.number > 0 then fields.log_number = whole(A.number) end
end
for _, row in ipairs(A.metrics) do redis.call('HSET', key('metrics:' .. A.id), row[1], row[2]) end
if next(fields) then write(A.id, fields) end
return 'done'
