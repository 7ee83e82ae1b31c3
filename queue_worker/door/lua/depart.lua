-- A worker leaves in order: it is no longer listed.
-- writes  worker:<lane> workers
-- args    lane

redis.call('ZREM', key('workers'), A.lane)
redis.call('DEL', key('worker:' .. A.lane))
