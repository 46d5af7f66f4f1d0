import type { Script } from './redis.ts'

/**
 * The programs that Redis runs, each in one step. All keys of one have the same hash tag, so that a Redis Cluster runs them too.
 * Every one begins with LIFE: a server that was started anew, or took the place of another, has another run id; what it still holds is old,
 * so it is dropped, and for a while nothing is given out that somebody may hold who has not registered again yet.
 * A life is told by that run id and when it was first seen, so that emptying a running server begins another, too.
 * KEYS: the entries, and the state beside them. ARGV[1]: how long that while is, in milliseconds.
 */
const LIFE = `
local entries, state = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local life = redis.call('HMGET', state, 'run', 'since')
if life[1] ~= run then redis.call('UNLINK', entries) end
if life[1] ~= run or tonumber(life[2]) > now then
  redis.call('HSET', state, 'run', run, 'since', now)
  life = {run, now}
end
local wait = tonumber(life[2]) + tonumber(ARGV[1]) - now
local token = string.format('%s %.0f', run, tonumber(life[2]))
`

/** Nodes: name → "epoch number deadline". ARGV[2]: how long a lease lasts, ARGV[3]: the name. */
const NODES = `${LIFE}
local lease, name = tonumber(ARGV[2]), ARGV[3]
local function read(entry)
  local epoch, number, deadline = string.match(entry, '(%d+) (%d+) (%d+)')
  return tonumber(epoch), tonumber(number), tonumber(deadline)
end
local living, numbers = {}, {}
local all = redis.call('HGETALL', entries)
for i = 1, #all, 2 do
  local epoch, number, deadline = read(all[i + 1])
  if deadline > now then
    living[all[i]] = {epoch, number, deadline}
    numbers[number] = true
  else
    redis.call('HDEL', entries, all[i])
  end
end
local function hold(epoch, number)
  redis.call('HSET', entries, name, string.format('%.0f %d %.0f', epoch, number, now + lease))
  redis.call('HSET', state, 'settle', ARGV[1])
end
`

/** Answers ['settling', ms], ['differs', ms], ['taken', ms], ['full'] or ['joined', epoch, number]. The epoch is also the time, so that it grows even where Redis forgot the last one. */
export const JOIN: Script = {
  name: 'join',
  source: `${NODES}
if wait > 0 then return {'settling', wait} end
local settle = redis.call('HGET', state, 'settle')
if next(living) and settle and settle ~= ARGV[1] then return {'differs', settle} end
if living[name] then return {'taken', living[name][3] - now} end
local last = redis.call('HMGET', state, 'epoch', 'number')
local epoch = math.max(tonumber(last[1] or 0) + 1, now)
local number
for i = 1, 256 do
  local candidate = (tonumber(last[2] or 255) + i) % 256
  if not numbers[candidate] then number = candidate break end
end
if not number then return {'full'} end
hold(epoch, number)
redis.call('HSET', state, 'epoch', string.format('%.0f', epoch), 'number', number)
return {'joined', string.format('%.0f', epoch), number}
`,
}

/** ARGV[4]: epoch, ARGV[5]: number. Answers ['expelled'], or ['renewed', ms to wait, life, last epoch, name, epoch, name, epoch, …] with all that live. */
export const RENEW: Script = {
  name: 'renew',
  source: `${NODES}
local epoch, number = tonumber(ARGV[4]), tonumber(ARGV[5])
local mine = living[name]
if mine and mine[1] ~= epoch then return {'expelled'} end
if not mine and wait <= 0 then return {'expelled'} end
hold(epoch, number)
living[name] = {epoch, number}
local last = tonumber(redis.call('HGET', state, 'epoch') or 0)
if last < epoch then
  last = epoch
  redis.call('HSET', state, 'epoch', string.format('%.0f', epoch))
end
local reply = {'renewed', math.max(wait, 0), token, string.format('%.0f', last)}
for other, fields in pairs(living) do
  reply[#reply + 1] = other
  reply[#reply + 1] = string.format('%.0f', fields[1])
end
return reply
`,
}

/** ARGV[4]: epoch. */
export const LEAVE: Script = {
  name: 'leave',
  source: `${NODES}
if living[name] and living[name][1] == tonumber(ARGV[4]) then redis.call('HDEL', entries, name) end
return {}
`,
}

/**
 * Homes: address → "epoch name". ARGV[2]: this node as "epoch name", then for each operation its letter, the address, and who is expected there.
 * c: claim, t: take over from a dead node, k: keep after Redis forgot, g: get, r: release. Answers [ms to wait, life, holder, …];
 * an empty holder is nobody, "?" nobody that has registered yet.
 */
export const HOMES: Script = {
  name: 'homes',
  source: `${LIFE}
local me = ARGV[2]
local reply = {math.max(wait, 0), token}
for i = 3, #ARGV, 3 do
  local operation, address, expected = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local holder = redis.call('HGET', entries, address)
  if operation == 'r' then
    if holder == me then redis.call('HDEL', entries, address) end
    holder = ''
  elseif operation == 'k' then
    if not holder then holder = me redis.call('HSET', entries, address, me) end
  elseif wait > 0 then
    holder = holder or '?'
  elseif operation == 'c' and not holder or operation == 't' and (not holder or holder == expected) then
    holder = me
    redis.call('HSET', entries, address, me)
  end
  reply[#reply + 1] = holder or ''
end
return reply
`,
}
