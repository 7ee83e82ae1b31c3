-- Who is next. One unit: microseconds in line. schemas/share.py says the same in Python.

-- A point of priority is worth a day of waiting. Ageing that is linear never changes the order of two
-- runs, so it can stand in an index; and whoever waits is passed less and less.
local AGEING_US = 86400 * 1000000

-- Lower goes first; a requeue keeps it. `shift` is what a move to a place has added.
local function place(run) return run.seq - run.priority * AGEING_US + run.shift end

-- GPU seconds that somebody used, halved every half-life.
local function used_by(user)
  local value, at = unpack(redis.call('HMGET', key('usage:' .. user), 'value', 'at'))
  value, at = tonumber(value or ''), tonumber(at or '')
  if not value or not at then return 0 end
  return value * 2 ^ (-math.max(0, NOW - at) / A.half_life)
end

-- Every second used puts a person one second back, never more than a half-life: so nobody starves.
local penalties = {}
local function penalty(user)
  if not penalties[user] then
    expect('usage:' .. user, 'hash')
    penalties[user] = math.min(used_by(user), A.half_life) * 1000000
  end
  return penalties[user]
end

-- The GPU time since the last charge goes to the run and to its user.
local function charge(id, run, till)
  local ran = math.max(0, till - run.charged_at)
  if run.charged_at == 0 then ran = 0 end
  run.ran_s, run.charged_at = run.ran_s + ran, math.max(till, run.charged_at)
  write(id, {ran_s = seconds(run.ran_s), charged_at = seconds(run.charged_at)})
  expect('usage:' .. run.user, 'hash')
  redis.call('HSET', key('usage:' .. run.user),
    'value', seconds(used_by(run.user) + ran * run.gpus), 'at', seconds(NOW))
  redis.call('ZADD', key('users'), seconds(NOW), run.user)
end
