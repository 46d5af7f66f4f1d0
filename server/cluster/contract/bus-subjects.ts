import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nullLog } from '#server/base/log.ts'
import type { Bus } from '#server/core/bus.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { NodeLease } from '../node-lease.ts'
import { connectRedis } from '../redis.ts'
import { openRedisBus } from '../redis-bus.ts'
import { openUnixBus } from '../unix-bus.ts'
import type { BusSubject } from './bus.ts'
import type { RedisPlace } from './redis-server.ts'

let lastEpoch = 0
export const nextEpoch = (): number => {
  lastEpoch += 1
  return lastEpoch
}

export const unixBusSubject: BusSubject = {
  name: 'unix sockets',
  async place() {
    const folder = await mkdtemp(join(tmpdir(), 'waxwing-bus-'))
    const clock = new FakeClock()
    const buses: Bus[] = []
    return {
      clock,
      async open(name, limits = {}) {
        const bus = await openUnixBus({ folder, self: { name, epoch: nextEpoch() }, clock, log: nullLog, limits })
        buses.push(bus)
        return bus
      },
      inject: ({ name, epoch }, batch) =>
        new Promise((resolve) => {
          const socket = connect(join(folder, `${name}@${epoch}.sock`))
          const length = Buffer.alloc(4)
          length.writeUInt32BE(batch.length)
          socket.on('error', () => {})
          socket.end(Buffer.concat([length, batch]), resolve)
        }),
      async remove() {
        await Promise.all(buses.map((bus) => bus.close()))
        await rm(folder, { recursive: true })
      },
    }
  },
}

/** How long a lease lasts that is not to end by itself: tests turn its clock, but Redis has its own. */
export const LONG_LEASE_MS = 600_000

let lastFleet = 0

export const redisBusSubject = (name: string, server: RedisPlace): BusSubject => ({
  name,
  async place() {
    lastFleet += 1
    const fleet = `fleet-${lastFleet}.example`
    const clock = new FakeClock()
    const ends: (() => Promise<void>)[] = []
    return {
      clock,
      async open(name, limits = {}) {
        const redis = await connectRedis(server.url)
        const lease = await NodeLease.join({ redis, fleet, name, clock, log: nullLog, leaseMs: LONG_LEASE_MS, settleMs: 0 })
        const bus = await openRedisBus({ redis, lease, fleet, clock, log: nullLog, limits })
        const close = async (): Promise<void> => {
          await bus.close()
          await lease.leave()
          await redis.close()
        }
        ends.push(close)
        return new Proxy(bus, {
          get(target, key) {
            const value: unknown = key === 'close' ? close : Reflect.get(target, key, target)
            return typeof value === 'function' && key !== 'close' ? value.bind(target) : value
          },
        })
      },
      inject: async ({ epoch }, batch) => void (await server.ask('SPUBLISH', `waxwing:{${fleet}:bus:${epoch}}`, batch)),
      async remove() {
        for (const end of ends) await end()
      },
    }
  },
})
