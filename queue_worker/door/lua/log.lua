-- The lines after an absolute index. Reads only.
-- reads   run:<id> log:<id>
-- args    id after
-- answer  {next index, line, line, ...}

expect('log:' .. A.id, 'list')
local kind = redis.call('TYPE', run_key(A.id)).ok
local next = kind == 'hash' and tonumber(redis.call('HGET', run_key(A.id), 'log_next') or '') or 0
local wanted = next - A.after
local lines = wanted > 0 and redis.call('LRANGE', key('log:' .. A.id), -wanted, -1) or {}
table.insert(lines, 1, next)
return lines
