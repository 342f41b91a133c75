/**
 * What an import does to a queue of BullMQ, each in one script, so that it happens as a whole or not at all. KEYS[1] is
 * the queue's prefix, such as `bull:mail`, of which all keys are made, as BullMQ makes them.
 *
 * An import holds jobs: it takes their ids out of the lists from which workers take jobs, and notes where each was in
 * `…:held:‹import›`. Held jobs are removed when their tasks are committed, or else returned to where they were. The
 * imports that hold jobs are in `…:held:index`, each with the database that it imports into, until nothing is left to do
 * about them. BullMQ has no ids with so many colons, so that no job has such a key.
 */
const HELD = `
local base, import = KEYS[1], ARGV[1]
local index = base .. ':firefly:import:held:index'
local held = base .. ':firefly:import:held:' .. import
`;

/** A function that reads a job as a list, with an id first, and how many keys about its children it has last. */
const READ_JOB = `
local function read_job(base, id)
  local key = base .. ':' .. id
  local values = redis.call('HMGET', key, 'name', 'data', 'opts', 'priority', 'atm', 'rjk', 'deid', 'parentKey', 'defa')
  table.insert(values, 1, id)
  table.insert(values, redis.call('EXISTS', key .. ':dependencies', key .. ':processed'))
  return values
end
`;

/** Reads jobs: ARGV are their ids. Leaves out those that are gone. */
export const READ_JOBS = `
${READ_JOB}
local found = {}
for _, id in ipairs(ARGV) do
  local job = read_job(KEYS[1], id)
  if job[2] then table.insert(found, job) end
end
return found
`;

/**
 * Takes ids out of a list, of which each is looked for at one place: to remove them one by one would pass, for each, all
 * jobs that are left between it and the end at which workers take jobs, which for 50,000 among 100,000 took a minute. The
 * ids are in the order in which workers take them, and were next to each other, but for some that are left: so the last one
 * is looked for, and from there on they are marked by their index, then removed in one pass.
 */
const TAKE_FROM_LIST = `
local MARK, SPAN = '\\0firefly', 1000
local function take_from_list(key, ids, taken)
  if #ids == 0 then return end
  local start = redis.pcall('LPOS', key, ids[#ids], 'RANK', -1) -- an error before Redis 6.0.6
  if type(start) == 'number' then
    local wanted, count = {}, 0
    for _, id in ipairs(ids) do wanted[id] = true end
    for i, id in ipairs(redis.call('LRANGE', key, start, start + SPAN - 1)) do
      if wanted[id] then
        redis.call('LSET', key, start + i - 1, MARK)
        taken[id], count = true, count + 1
      end
    end
    if count > 0 then redis.call('LREM', key, -count, MARK) end
    if count == #ids then return end
  end
  for _, id in ipairs(ids) do
    if not taken[id] and redis.call('LREM', key, -1, id) == 1 then taken[id] = true end
  end
end
`;

/**
 * Holds jobs, and returns those that it found: ARGV are the import, the database, then for each job its id and the list
 * that it was in. A job that a worker has taken meanwhile is in none, and stays.
 */
export const HOLD_JOBS = `
${HELD}
${READ_JOB}
${TAKE_FROM_LIST}
local listed = {wait = {}, paused = {}}
local origins = {}
for i = 3, #ARGV, 2 do
  local id, list = ARGV[i], ARGV[i + 1]
  for _, name in ipairs({'delayed', 'prioritized'}) do
    local score = redis.call('ZSCORE', base .. ':' .. name, id)
    if score then
      redis.call('ZREM', base .. ':' .. name, id)
      origins[id] = name .. ' ' .. score
    end
  end
  if not origins[id] and listed[list] then table.insert(listed[list], id) end
end
for list, ids in pairs(listed) do
  local taken = {}
  take_from_list(base .. ':' .. list, ids, taken)
  for id in pairs(taken) do origins[id] = list end
end
local order = redis.call('HLEN', held)
local found = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  if origins[id] then
    redis.call('HSET', held, id, order .. ' ' .. origins[id])
    order = order + 1
  end
  -- A client that lost the answer may send the script again: then the job is held already.
  if redis.call('HEXISTS', held, id) == 1 then table.insert(found, read_job(base, id)) end
end
if #found > 0 then redis.call('HSET', index, import, ARGV[2]) end
return found
`;

/**
 * Returns held jobs to where they were, and wakes a worker: ARGV are the import, the major version of BullMQ, then the
 * ids, the last taken first. BullMQ 5 keeps the jobs of a queue that is paused in a list of their own.
 */
export const RETURN_JOBS = `
${HELD}
local paused = redis.call('HEXISTS', base .. ':meta', 'paused') == 1
local count = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local origin = redis.call('HGET', held, id)
  if origin then
    local name, score = string.match(origin, '^%d+ (%S+) ?(.*)$')
    if score ~= '' then
      redis.call('ZADD', base .. ':' .. name, score, id)
    else
      local isApart = paused and (ARGV[2] == '5' or name == 'paused')
      redis.call('RPUSH', base .. (isApart and ':paused' or ':wait'), id)
    end
    redis.call('HDEL', held, id)
    count = count + 1
  end
end
if count > 0 and not paused then redis.call('ZADD', base .. ':marker', 0, '0') end
return count
`;

/** Removes held jobs, as BullMQ removes jobs: ARGV are the import, then the ids. */
export const REMOVE_JOBS = `
${HELD}
local most = redis.call('HGET', base .. ':meta', 'opts.maxLenEvents') or 10000
local count = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  if redis.call('HDEL', held, id) == 1 then
    local key = base .. ':' .. id
    local deduplication = redis.call('HGET', key, 'deid')
    if deduplication and redis.call('GET', base .. ':de:' .. deduplication) == id then
      redis.call('DEL', base .. ':de:' .. deduplication)
    end
    redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
      key .. ':unsuccessful')
    redis.call('XADD', base .. ':events', 'MAXLEN', '~', most, '*', 'event', 'removed', 'jobId', id, 'prev', 'waiting')
    count = count + 1
  end
end
return count
`;

/** Lists the schedules: the id of each, its name, pattern, interval in milliseconds, time zone and data. */
export const LIST_SCHEDULES = `
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. ':repeat', 0, -1)) do
  local values = redis.call('HMGET', KEYS[1] .. ':repeat:' .. id, 'name', 'pattern', 'every', 'tz', 'data')
  table.insert(values, 1, id)
  table.insert(found, values)
end
return found
`;
