-- Not sent now: pending again, not before a while. `ambiguous` is kept until it is settled.
-- writes  notice:<event>
-- args    event by after ambiguous
-- answer  done | already: it is settled | lost: somebody else has begun it meanwhile

if not redis.call('ZSCORE', key('notices:open'), A.event) then return 'already' end
local name = 'notice:' .. A.event
expect(name, 'hash')
if redis.call('HGET', key(name), 'by') ~= A.by then return 'lost' end
redis.call('HSET', key(name), 'state', 'pending', 'by', '',
  'at', seconds(NOW), 'wait', seconds(A.after))
if A.ambiguous then redis.call('HSET', key(name), 'ambiguous', '1') end
return 'done'
