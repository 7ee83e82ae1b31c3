-- Set a record aside that a worker could not read after claiming it; its worker may claim again.
-- reads   run:<id> worker:<lane>
-- writes  every index of the run, quarantine, events, worker:<lane>
-- args    id reason lane by

quarantine(A.id, A.reason)
redis.call('HDEL', key('worker:' .. A.lane), 'claim_nonce')
