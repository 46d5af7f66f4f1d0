import type { Clock } from '#server/base/clock.ts'
import type { NodeId } from '#server/core/bus.ts'
import { type FenceReason, HomesError } from '#server/core/homes.ts'
import type { Directory } from './directory.ts'
import { type NodeLease, textsOf } from './node-lease.ts'
import type { Redis } from './redis.ts'
import { HOMES } from './redis-scripts.ts'

/** Addresses are spread over so many keys, which a Redis Cluster spreads over its servers. It is part of what all nodes of a fleet agree on: never changed. */
const BUCKETS = 64
/** How many buckets of a cluster are looked at each second: all of them within a lease, since each may be on a server that was started anew. */
const LOOKS = 24
const MAX_BATCH = 500
/** How many operations may wait for Redis in one bucket. */
const MAX_WAITING = 20_000
/** How long a claim waits for nodes that have not registered again, before it is given up. */
const PATIENCE_MS = 10_000
const RETRY_MS = 250

interface Operation {
  readonly letter: 'c' | 't' | 'k' | 'g' | 'r'
  readonly address: string
  readonly expected: string
  readonly resolve: (holder: string) => void
  readonly reject: (error: HomesError) => void
}

interface Bucket {
  readonly keys: readonly string[]
  waiting: Operation[]
  isBusy: boolean
  /** What this node holds. */
  readonly held: Set<string>
  /** The life of the Redis that knows it; empty when that is not known. */
  told: string | undefined
  /** The life of the Redis that answered last. */
  life: string | undefined
  isTelling: boolean
}

export interface RedisDirectoryOptions {
  readonly redis: Redis
  readonly lease: NodeLease
  readonly fleet: string
  readonly clock: Clock
  /** The lease's. */
  readonly settleMs?: number
}

const SETTLE_MS = 5_000

const keysOf = (fleet: string, bucket: number): readonly string[] => {
  const tag = `waxwing:{${fleet}:${bucket}}`
  return [`${tag}:homes`, `${tag}:state`]
}

/** Lets the life of each bucket in a new Redis begin: whoever asked one for the first time would wait until nodes may have registered again. */
export const beginLives = async (redis: Redis, fleet: string, settleMs: number = SETTLE_MS): Promise<void> => {
  const looks = Array.from({ length: BUCKETS }, (_, index) => redis.run(HOMES, keysOf(fleet, index), [String(settleMs), '']))
  await Promise.all(looks)
}

/** The directory of homes in Redis. Operations of one bucket go there one batch after the other; what came meanwhile is the next batch. */
export class RedisDirectory implements Directory {
  readonly #redis: Redis
  readonly #lease: NodeLease
  readonly #clock: Clock
  readonly #settleMs: number
  readonly #me: string
  readonly #buckets: readonly Bucket[]
  readonly #onLost: ((address: string) => void)[] = []
  #nextLook = 0
  #isClosed = false

  constructor({ redis, lease, fleet, clock, settleMs = SETTLE_MS }: RedisDirectoryOptions) {
    this.#redis = redis
    this.#lease = lease
    this.#clock = clock
    this.#settleMs = settleMs
    this.#me = textOf(lease.self)
    this.#buckets = Array.from({ length: BUCKETS }, (_, index) => {
      return {
        keys: keysOf(fleet, index),
        waiting: [],
        isBusy: false,
        held: new Set(),
        told: undefined,
        life: undefined,
        isTelling: false,
      }
    })
    lease.onNewLife(() => {
      for (const bucket of this.#buckets) this.#look(bucket)
    })
    lease.onNodes(() => this.#lookAround())
  }

  get self(): NodeId {
    return this.#lease.self
  }

  get number(): number {
    return this.#lease.number
  }

  isValid(): boolean {
    return this.#lease.isValid()
  }

  async claim(address: string): Promise<NodeId> {
    const giveUpAtMs = this.#clock.monotonicMs() + PATIENCE_MS
    let takenFrom: string | undefined
    for (;;) {
      const holder = await this.#ask(takenFrom === undefined ? 'c' : 't', address, takenFrom)
      takenFrom = undefined
      if (holder !== '?') {
        const node = nodeOf(holder)
        const fate = node.epoch === this.self.epoch ? 'alive' : this.#lease.fateOf(node)
        if (fate === 'alive') return node
        if (fate === 'dead') takenFrom = holder
        else await this.#lease.renew()
        if (fate === 'dead' || this.#lease.fateOf(node) !== 'unknown') continue
      }
      if (this.#clock.monotonicMs() >= giveUpAtMs) throw new HomesError('unavailable', 'nodes may not have registered again yet')
      await new Promise<void>((resolve) => this.#clock.after(RETRY_MS, resolve))
    }
  }

  async find(address: string): Promise<NodeId | undefined> {
    const holder = await this.#ask('g', address)
    if (holder === '') return undefined
    if (holder === '?') throw new HomesError('unavailable', 'nodes may not have registered again yet')
    const node = nodeOf(holder)
    if (this.#lease.fateOf(node) === 'unknown') await this.#lease.renew()
    return this.#lease.fateOf(node) === 'dead' ? undefined : node
  }

  async release(address: string): Promise<void> {
    this.#bucketOf(address).held.delete(address)
    await this.#ask('r', address)
  }

  onLost(handler: (address: string) => void): void {
    this.#onLost.push(handler)
  }

  onFenced(handler: (reason: FenceReason) => void): void {
    this.#lease.onFenced(handler)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const bucket of this.#buckets) for (const { reject } of bucket.waiting.splice(0)) reject(fenced())
    await this.#lease.leave()
  }

  #ask(letter: Operation['letter'], address: string, expected = ''): Promise<string> {
    if (this.#isClosed || !this.isValid()) return Promise.reject(fenced())
    const bucket = this.#bucketOf(address)
    if (bucket.waiting.length >= MAX_WAITING) return Promise.reject(new HomesError('unavailable', 'too much waits for Redis'))
    return new Promise((resolve, reject) => {
      bucket.waiting.push({ letter, address, expected, resolve, reject })
      if (!bucket.isBusy) void this.#work(bucket)
    })
  }

  #bucketOf(address: string): Bucket {
    const bucket = this.#buckets[bucketOf(address)]
    if (bucket === undefined) throw new RangeError('no bucket')
    return bucket
  }

  async #work(bucket: Bucket): Promise<void> {
    bucket.isBusy = true
    // What else is asked in this turn goes along.
    await undefined
    while (bucket.waiting.length > 0) {
      const batch = bucket.waiting.splice(0, MAX_BATCH)
      try {
        const holders = await this.#run(bucket, batch)
        // A lease that ended meanwhile holds nothing.
        const isValid = this.isValid()
        for (const [index, operation] of batch.entries()) {
          const holder = holders[index] ?? ''
          if (!isValid) operation.reject(fenced())
          else {
            if (holder === this.#me && (operation.letter === 'c' || operation.letter === 't')) bucket.held.add(operation.address)
            operation.resolve(holder)
          }
        }
      } catch (error) {
        const reason = new HomesError('unavailable', `Redis: ${error instanceof Error ? error.message : 'it failed'}`)
        for (const { reject } of batch) reject(reason)
      }
    }
    bucket.isBusy = false
  }

  async #run(bucket: Bucket, batch: readonly Operation[]): Promise<readonly string[]> {
    const operations = batch.flatMap(({ letter, address, expected }) => [letter, address, expected])
    const [, life, ...holders] = textsOf(
      await this.#redis.run(HOMES, bucket.keys, [String(this.#settleMs), this.#me, ...operations]),
    )
    bucket.life = life
    bucket.told ??= life
    if (bucket.told !== life) void this.#tell(bucket)
    return holders
  }

  #lookAround(): void {
    const looks = this.#redis.isCluster ? LOOKS : 0
    for (let look = 0; look < looks; look += 1) {
      const bucket = this.#buckets[this.#nextLook]
      this.#nextLook = (this.#nextLook + 1) % BUCKETS
      if (bucket !== undefined) this.#look(bucket)
    }
    for (const bucket of this.#buckets) if (bucket.told === '') this.#look(bucket)
  }

  #look(bucket: Bucket): void {
    // Also what holds nothing of this node: its life begins with the first look.
    if (!this.#isClosed) void this.#run(bucket, []).catch(() => (bucket.told = ''))
  }

  /** Tells Redis again what this node holds, after it forgot; once more when it forgot meanwhile. */
  async #tell(bucket: Bucket): Promise<void> {
    if (bucket.isTelling) return
    bucket.isTelling = true
    try {
      while (bucket.told !== bucket.life) {
        const { life } = bucket
        await Promise.all([...bucket.held].map((address) => this.#keep(bucket, address)))
        bucket.told = life
      }
    } catch {
      // Looked at again after the next renewal.
      bucket.told = ''
    }
    bucket.isTelling = false
  }

  async #keep(bucket: Bucket, address: string): Promise<void> {
    const holder = await this.#ask('k', address)
    if (holder !== this.#me && bucket.held.delete(address)) for (const handler of this.#onLost) handler(address)
  }
}

const fenced = (): HomesError => new HomesError('fenced', 'this node is a node no more')

/** FNV-1a of the address: the same on every node. */
const bucketOf = (address: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < address.length; index += 1) hash = Math.imul(hash ^ address.charCodeAt(index), 0x01000193)
  return (hash >>> 0) % BUCKETS
}

const textOf = ({ name, epoch }: NodeId): string => `${epoch} ${name}`

const nodeOf = (text: string): NodeId => {
  const space = text.indexOf(' ')
  return { epoch: Number(text.slice(0, space)), name: text.slice(space + 1) }
}
