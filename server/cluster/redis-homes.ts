import type { Clock } from '#server/base/clock.ts'
import type { Bus } from '#server/core/bus.ts'
import type { NodeLease } from './node-lease.ts'
import type { Redis } from './redis.ts'
import { RedisDirectory } from './redis-directory.ts'
import { SharedHomes } from './shared-homes.ts'

export interface RedisHomesOptions {
  readonly redis: Redis
  readonly lease: NodeLease
  readonly fleet: string
  readonly bus: Bus
  readonly clock: Clock
  readonly settleMs?: number
}

/** The homes of a fleet of machines, whose directory is in Redis. */
export const openRedisHomes = (options: RedisHomesOptions): SharedHomes =>
  new SharedHomes({ ...options, directory: new RedisDirectory(options) })
