import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { NodeId } from '#server/core/bus.ts'
import type { Carrier, CarrierEvents } from './carrier.ts'
import { type LinkLimits, Links } from './links.ts'
import type { NodeLease } from './node-lease.ts'
import type { Redis } from './redis.ts'

export interface RedisBusOptions {
  readonly redis: Redis
  readonly lease: NodeLease
  readonly fleet: string
  readonly clock: Clock
  readonly log: Logger
  readonly limits?: Partial<LinkLimits>
}

/** How often a node sends something to itself, and after how many of them without an answer its connections count as dead. */
const ECHO_MS = 1_000
const MAX_SILENT_ECHOES = 3
const ECHO = Buffer.alloc(0)

/** Opens the bus between machines: each node takes what is published on a channel of its own (docs/decisions/0013 says why so). Who is there, its lease knows. */
export const openRedisBus = (options: RedisBusOptions): Promise<Links> =>
  Links.open(new RedisCarrier(options), {
    ...options,
    self: options.lease.self,
    isValid: () => options.lease.isValid(),
  })

class RedisCarrier implements Carrier {
  readonly #redis: Redis
  readonly #lease: NodeLease
  readonly #fleet: string
  readonly #clock: Clock
  /** Bytes that Redis has not taken yet, by epoch. */
  readonly #underWay = new Map<number, number>()
  readonly #nodes = new Map<number, NodeId>()
  #events: CarrierEvents | undefined
  #echo: Timer | undefined
  #silentEchoes = 0

  constructor({ redis, lease, fleet, clock }: RedisBusOptions) {
    this.#redis = redis
    this.#lease = lease
    this.#fleet = fleet
    this.#clock = clock
  }

  async start(events: CarrierEvents): Promise<void> {
    this.#events = events
    await this.#redis.subscribe(this.#channelOf(this.#lease.self.epoch), (bytes) => this.#take(bytes))
    this.#redis.onDown(() => this.#interrupted())
    this.#redis.onUp(() => this.#interrupted())
    this.#lease.onNodes((nodes) => this.#listed(nodes))
    this.#echo = this.#clock.every(ECHO_MS, () => this.#echoed())
    this.#listed(this.#lease.nodes)
  }

  carry(to: NodeId, batch: string): boolean {
    if (this.#events === undefined) return false
    const { epoch } = to
    this.#underWay.set(epoch, this.queuedBytes(to) + batch.length)
    this.#redis.publish(this.#channelOf(epoch), Buffer.from(batch, 'latin1')).then(
      (takers) => this.#published(epoch, batch.length, takers > 0),
      () => this.#published(epoch, batch.length, false),
    )
    return true
  }

  queuedBytes({ epoch }: NodeId): number {
    return this.#underWay.get(epoch) ?? 0
  }

  drop({ epoch }: NodeId): void {
    this.#underWay.delete(epoch)
  }

  async close(): Promise<void> {
    this.#events = undefined
    this.#echo?.cancel()
  }

  #channelOf(epoch: number): string {
    return `waxwing:{${this.#fleet}:bus:${epoch}}`
  }

  #take(bytes: Buffer): void {
    this.#silentEchoes = 0
    if (bytes.length > 0) this.#events?.batch(bytes)
  }

  #published(epoch: number, bytes: number, isTaken: boolean): void {
    const left = (this.#underWay.get(epoch) ?? 0) - bytes
    if (left > 0) this.#underWay.set(epoch, left)
    else this.#underWay.delete(epoch)
    if (!isTaken) this.#events?.interrupted(epoch)
  }

  #interrupted(): void {
    this.#silentEchoes = 0
    this.#events?.interruptedAll()
  }

  /** A subscription that is open but dead says nothing; so what should be heard is said. */
  #echoed(): void {
    this.#redis.publish(this.#channelOf(this.#lease.self.epoch), ECHO).catch(() => {})
    this.#silentEchoes += 1
    if (this.#silentEchoes <= MAX_SILENT_ECHOES) return
    this.#interrupted()
    this.#redis.reconnect()
  }

  #listed(nodes: readonly NodeId[]): void {
    const living = new Set(nodes.map(({ epoch }) => epoch))
    for (const node of this.#nodes.values()) {
      if (living.has(node.epoch)) continue
      this.#nodes.delete(node.epoch)
      this.#events?.ended(node)
    }
    for (const node of nodes) {
      this.#nodes.set(node.epoch, node)
      this.#events?.candidate(node)
    }
  }
}
