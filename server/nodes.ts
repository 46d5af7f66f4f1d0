import { hostname } from 'node:os'
import { pause, systemClock } from './base/clock.ts'
import type { Config } from './base/config.ts'
import type { Logger } from './base/log.ts'
import { NodeLease } from './cluster/node-lease.ts'
import { connectRedis, type Redis } from './cluster/redis.ts'
import { openRedisBus } from './cluster/redis-bus.ts'
import { beginLives } from './cluster/redis-directory.ts'
import { openRedisHomes } from './cluster/redis-homes.ts'
import { HomesError } from './core/homes.ts'
import type { FleetParts } from './fleet.ts'

/** A process as a member of a fleet, and how it leaves the rest behind when the server has stopped. */
export interface Membership extends FleetParts {
  /** Rejects with why the fleet cannot be reached just now. */
  check(): Promise<void>
  /** Whether its lease was not renewed the last time. */
  isAway(): boolean
  /** Closes what the bus and the homes were made of; they are closed already. */
  leave(): Promise<void>
}

/** How long after a Redis that could not be reached it is tried again: longer each time, up to the last. */
const PAUSES_MS = [500, 1_000, 2_000, 5_000]

/** Becomes a node of the fleet that the configuration names; waits for a Redis that is not there. Rejects with `HomesError` when this node cannot be one. */
export const joinFleet = async (
  { cluster, domain }: Config,
  url: string,
  log: Logger,
  onWait: (reason: string) => void,
): Promise<Membership> => {
  const redis = await reachRedis(url, log, onWait)
  try {
    const times = { leaseMs: cluster.lease, settleMs: cluster.lease }
    const common = { redis, fleet: domain, clock: systemClock, log, ...times }
    await beginLives(redis, domain, cluster.lease)
    const lease = await NodeLease.join({ ...common, name: cluster.node ?? nameOfMachine(), onWait })
    const bus = await openRedisBus({ ...common, lease })
    const homes = openRedisHomes({ ...common, lease, bus })
    log.info('cluster-joined', { node: lease.self.name, epoch: lease.self.epoch, number: lease.number })
    return {
      bus,
      homes,
      isAway: () => lease.isAway,
      async check() {
        if (lease.isAway) throw new HomesError('unavailable', 'Redis does not answer')
      },
      async leave() {
        await lease.leave()
        await redis.close()
      },
    }
  } catch (error) {
    await redis.close()
    throw error
  }
}

const reachRedis = async (url: string, log: Logger, onWait: (reason: string) => void): Promise<Redis> => {
  for (let tries = 0; ; tries++) {
    try {
      return await connectRedis(url)
    } catch (error) {
      if (!(error instanceof HomesError) || error.reason !== 'unavailable') throw error
      const pauseMs = PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)] ?? 0
      log.warn('redis-unreachable', { reason: error.message, triesAgainInMs: pauseMs })
      onWait(`it waits for Redis: ${error.message}`)
      await pause(pauseMs)
    }
  }
}

const nameOfMachine = (): string =>
  hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^[.-]+/, '')
    .slice(0, 40) || 'node'
