-- Extend the lease of the live token, charge the time to its user, and tell what is wished.
-- reads   run:<id> controls
-- writes  leases run:<id> usage:<user> users
-- args    id token lease
-- answer  {"ok", wish, by, reason}, {"lost"}, or {"unknown"}: no record, Redis was wiped

local run = record(A.id)
if not run then return {'unknown'} end
if fenced(run) then return {'lost'} end
charge(A.id, run, NOW)
redis.call('ZADD', key('leases:2'), seconds(NOW + A.lease), A.id)

if run.wish ~= '' then return {'ok', run.wish, run.wish_by, run.wish_reason} end
if run.time_limit_s > 0 and run.ran_s >= run.time_limit_s then return {'ok', 'timeout', 'trainq', ''} end
local host = string.match(run.worker, '^([^:]*):') or ''
local drain = control('drain:worker:' .. run.worker) or control('drain:host:' .. host)
if not drain then return {'ok', '', '', ''} end
local ok, found = pcall(cjson.decode, drain)
if not ok or type(found) ~= 'table' then return {'ok', 'drain', '', ''} end
return {'ok', 'drain', tostring(found.by or ''), tostring(found.reason or '')}
