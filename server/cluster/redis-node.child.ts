/** The node that tests stop and kill: it claims an address, says what it is told, and answers what it knows when it is asked. */
import { systemClock } from '#server/base/clock.ts'
import { nullLog } from '#server/base/log.ts'
import { NodeLease } from './node-lease.ts'
import { connectRedis } from './redis.ts'
import { openRedisBus } from './redis-bus.ts'
import { openRedisHomes } from './redis-homes.ts'

const [url = '', fleet = '', address = '', leaseMs = ''] = process.argv.slice(2)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const redis = await connectRedis(url)
const common = { redis, fleet, clock: systemClock, log: nullLog, leaseMs: Number(leaseMs), settleMs: 0 }
const lease = await NodeLease.join({ ...common, name: 'child' })
const bus = await openRedisBus({ ...common, lease })
const homes = openRedisHomes({ ...common, lease, bus })
homes.onFenced((reason) => say(`fenced ${reason}`))
say(`claimed ${(await homes.claim(address)).kind}`)
process.stdin.on('data', () => say(`known ${homes.known(address)?.kind}`))
