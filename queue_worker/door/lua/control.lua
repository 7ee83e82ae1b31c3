-- Set or lift something that concerns more than one run.
-- reads   controls
-- writes  controls events bell bad:<worker>
-- args    what: "<kind>:<scope>", by reason value, set: bool, text
-- answer  1 when that changed something, 0 for a repeat

local standing = control(A.what)
if A.set then
  local ok, old = pcall(cjson.decode, standing or '')
  if standing and ok and old.by == A.by and old.reason == A.reason and old.value == A.value then return 0 end
  set_control(A.what, A.by, A.reason, A.value)
else
  if not standing then return 0 end
  redis.call('HDEL', key('controls'), A.what)
  ring(8)
end
event('control', '', A.by, {text = A.text})
return 1
