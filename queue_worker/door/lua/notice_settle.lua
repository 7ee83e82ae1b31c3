-- A notice is done with, for good, and its channel is left in peace for a moment.
-- writes  notice:<event> notices:open notices:turn:<channel>
-- args    event how channel
--         gap: seconds in which nobody may begin another notice in this channel

local name = 'notice:' .. A.event
expect(name, 'hash')
if redis.call('ZREM', key('notices:open'), A.event) == 0 then return end
redis.call('HSET', key(name), 'state', 'settled', 'how', A.how, 'at', seconds(NOW))
if A.gap > 0 then
  redis.call('SET', key('notices:turn:' .. A.channel), '1', 'PX', whole(math.ceil(A.gap * 1000)))
end
