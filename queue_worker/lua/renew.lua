-- Extend the lease of the live token, and tell what people wish.
-- reads   run:<id>
-- writes  leases
-- args    id token lease
-- answer  {"ok", wish, wish_by, wish_reason}, {"lost"}, or {"unknown"}: no record, Redis was wiped

local run = record(A.id)
if not run then return {'unknown'} end
if fenced(run) then return {'lost'} end
redis.call('ZADD', key('leases'), seconds(NOW + A.lease), A.id)
return {'ok', run.wish, run.wish_by, run.wish_reason}
