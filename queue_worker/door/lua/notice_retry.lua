-- Not sent now: pending again, not before a while. `ambiguous` is kept until it is settled.
-- Nothing happens where it is settled, or where somebody else has begun it meanwhile.
-- writes  notice:<event>
-- args    event by after ambiguous

if not redis.call('ZSCORE', key('notices:open'), A.event) then return end
local name = 'notice:' .. A.event
expect(name, 'hash')
if redis.call('HGET', key(name), 'by') ~= A.by then return end
redis.call('HSET', key(name), 'state', 'pending', 'at', seconds(NOW), 'wait', seconds(A.after))
if A.ambiguous then redis.call('HSET', key(name), 'ambiguous', '1') end
