-- What decides how long runs take: their model and how many epochs. Reads only.
-- reads   run:<id>
-- args    ids
-- answer  a JSON object: id -> [model, epochs]; what cannot be read is left out

local sizes = {}
for _, id in ipairs(A.ids) do
  local text = redis.pcall('HGET', run_key(id), 'config')
  local sound, config = pcall(cjson.decode, type(text) == 'string' and text or '')
  local model, train = sound and type(config) == 'table' and config.model, sound and config.train
  if type(model) == 'table' and type(train) == 'table' and type(model.name) == 'string'
    and type(train.epochs) == 'number' then
    sizes[id] = {model.name, train.epochs}
  end
end
return next(sizes) and cjson.encode(sizes) or '{}'
