import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nullLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { HomeRegistrar, openLocalHomes } from '../local-homes.ts'
import { NodeLease } from '../node-lease.ts'
import { connectRedis } from '../redis.ts'
import { openRedisBus } from '../redis-bus.ts'
import { openRedisHomes } from '../redis-homes.ts'
import { openUnixBus } from '../unix-bus.ts'
import { LONG_LEASE_MS, nextEpoch } from './bus-subjects.ts'
import type { HomesSubject } from './homes.ts'
import type { RedisPlace } from './redis-server.ts'
import { until } from './until.ts'

export const localHomesSubject: HomesSubject = {
  name: 'processes of one machine',
  async place() {
    const folder = await mkdtemp(join(tmpdir(), 'waxwing-homes-'))
    const clock = new FakeClock()
    const busOf = (name: string) => openUnixBus({ folder, self: { name, epoch: nextEpoch() }, clock, log: nullLog })
    const supervisor = await busOf('supervisor')
    new HomeRegistrar(supervisor, clock)
    const buses = [supervisor]
    return {
      clock,
      async open(name) {
        const bus = await busOf(name)
        buses.push(bus)
        await until(() => bus.isLinked(supervisor.self), 'the supervisor')
        const homes = await openLocalHomes({ bus, clock, registrar: supervisor.self }).catch(async (error: unknown) => {
          await bus.close()
          throw error
        })
        return {
          homes,
          isLinked: (node) => bus.isLinked(node),
          async dies() {
            await bus.close()
            await until(() => !supervisor.isLinked(bus.self), 'the supervisor to see it')
            clock.advance(250)
          },
        }
      },
      async remove() {
        await Promise.all(buses.map((bus) => bus.close()))
        await rm(folder, { recursive: true })
      },
    }
  },
}

let lastFleet = 0

/** How long a lease lasts; Redis counts it on its own clock, which tests do not turn. */
export interface RedisTimes {
  readonly leaseMs: number
  readonly settleMs: number
}

/** Opens nodes of one fleet in one process. */
export const redisFleet = (server: RedisPlace, times: RedisTimes = { leaseMs: LONG_LEASE_MS, settleMs: 0 }) => {
  lastFleet += 1
  const fleet = `homes-${lastFleet}.example`
  const clock = new FakeClock()
  const ends: (() => Promise<void>)[] = []
  return {
    fleet,
    clock,
    async open(name: string) {
      const redis = await connectRedis(server.url)
      try {
        const common = { redis, fleet, clock, log: nullLog, ...times }
        const lease = await NodeLease.join({ ...common, name })
        const bus = await openRedisBus({ ...common, lease })
        const homes = openRedisHomes({ ...common, lease, bus })
        ends.push(async () => {
          await bus.close()
          await lease.leave()
          await redis.close()
        })
        return {
          homes,
          lease,
          bus,
          redis,
          isLinked: bus.isLinked.bind(bus),
          async dies() {
            await redis.close()
            await bus.close()
            // Its lease ends, and the others look: the same as waiting for it.
            await server.ask('HDEL', `waxwing:{${fleet}}:nodes`, name)
            clock.advance(1_000)
          },
        }
      } catch (error) {
        await redis.close()
        throw error
      }
    },
    async remove() {
      for (const end of ends) await end()
    },
  }
}

export const redisHomesSubject = (name: string, server: RedisPlace): HomesSubject => ({
  name,
  place: async () => redisFleet(server),
})
