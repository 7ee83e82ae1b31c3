-- Take a notice to send it. Whoever began before and never said how it went may have sent it.
-- reads   notices:open notices:turn:<channel>
-- writes  notice:<event>
-- args    event by channel
--         patience: seconds after which an unfinished sender counts as gone
--         own_patience: the same for an earlier begin of this very sender
-- answer  send | lookup | busy | done

if not redis.call('ZSCORE', key('notices:open'), A.event) then return 'done' end
local name = 'notice:' .. A.event
expect(name, 'hash')
local notice = redis.call('HMGET', key(name), 'state', 'by', 'at', 'wait', 'ambiguous')
local at = tonumber(notice[3] or '') or 0
local age = NOW - at -- below zero when the clock was put back: then nothing is waited for
local wait = tonumber(notice[4] or '') or 0
if notice[1] == 'sending' and notice[2] ~= A.by then wait = A.patience end
if notice[1] == 'sending' and notice[2] == A.by then wait = A.own_patience end
if age >= 0 and age < wait then return 'busy' end
if redis.call('EXISTS', key('notices:turn:' .. A.channel)) == 1 then return 'busy' end

redis.call('HSET', key(name), 'state', 'sending', 'by', A.by, 'at', seconds(NOW))
if notice[1] == 'sending' or notice[5] == '1' then return 'lookup' end
return 'send'
