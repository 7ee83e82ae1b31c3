-- What everybody has used lately, and what they have in the queue. Reads only.
-- reads   users usage:<user> user:<user> state:<state> run:<id>
-- answer  [user, used seconds, running, pending, submitted_at of the oldest pending or "", ...]

local function of_user(user, state)
  return redis.call('ZINTER', 2, key('user:' .. user), key('state:' .. state), 'WEIGHTS', '1', '0')
end

local answer = {}
for _, user in ipairs(redis.call('ZRANGE', key('users'), 0, -1)) do
  local queued, waiting, held = of_user(user, 'queued'), of_user(user, 'waiting'), of_user(user, 'held')
  local oldest = queued[1] or ''
  if oldest ~= '' then oldest = redis.call('HGET', run_key(oldest), 'submitted_at') or '' end
  for _, value in ipairs({user, seconds(used_by(user)), whole(#of_user(user, 'running')),
    whole(#queued + #waiting + #held), oldest}) do
    answer[#answer + 1] = value
  end
end
return answer
