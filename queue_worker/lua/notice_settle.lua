-- A notice is done with, for good.
-- writes  notice:<event> notices:open
-- args    event how
-- answer  done | already

local name = 'notice:' .. A.event
expect(name, 'hash')
if redis.call('ZREM', key('notices:open'), A.event) == 0 then return 'already' end
redis.call('HSET', key(name), 'state', 'settled', 'how', A.how, 'at', seconds(NOW))
return 'done'
