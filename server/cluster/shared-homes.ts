import type { Clock } from '#server/base/clock.ts'
import type { Bus, NodeId } from '#server/core/bus.ts'
import { type FenceReason, type Home, type Homes, HomesError } from '#server/core/homes.ts'
import { toText, toWire, type Wire } from '#stanzas/wire.ts'
import { BoundedCache } from '../core/bounded-cache.ts'
import type { Directory } from './directory.ts'

/** A node whose answers are remembered while the link to it holds: over a link that broke, word of a change may have been lost. */
interface Remembered {
  readonly home: { readonly kind: 'theirs'; readonly node: NodeId }
  isCurrent: boolean
}

export interface SharedHomesOptions {
  readonly bus: Bus
  readonly directory: Directory
  readonly clock: Clock
  /** How many addresses of others are remembered, and of how many of its own this node knows who remembers them. */
  readonly maxRemembered?: number
}

const MAX_REMEMBERED = 200_000
/** Word of a change that was lost all the same does no harm for longer. */
const MAX_AGE_MS = 60_000
const MINE: Home = { kind: 'mine' }

const WATCH = 'home-watch'
const MOVED = 'home-moved'

/**
 * Homes of a fleet: what the directory says, remembered. Who remembers that an address is at home at a node tells that node so; when the address leaves, the node tells all of them.
 * A node that is told so of an address it does not hold answers that it moved, and takes its name off in the directory, where a claim without an answer may have left it.
 */
export class SharedHomes implements Homes {
  readonly #bus: Bus
  readonly #directory: Directory
  readonly #maxRemembered: number
  readonly #held = new Set<string>()
  readonly #claims = new Map<string, Promise<Home>>()
  readonly #remembered: BoundedCache<string, Remembered>
  readonly #nodes = new Map<number, Remembered>()
  /** Who remembers which of ours, the longest known first. */
  readonly #watchers = new Map<string, Map<number, NodeId>>()
  readonly #onLost: ((address: string) => void)[] = []

  constructor({ bus, directory, clock, maxRemembered = MAX_REMEMBERED }: SharedHomesOptions) {
    this.#bus = bus
    this.#directory = directory
    this.#maxRemembered = maxRemembered
    this.#remembered = new BoundedCache(clock, { maxEntries: maxRemembered, maxAgeMs: MAX_AGE_MS })
    bus.onPeerLost((node) => this.#unlinked(node))
    bus.onMessage(WATCH, (from, address) => void this.#watched(from, toText(address)))
    bus.onMessage(MOVED, (from, address) => this.forget(toText(address), from))
    directory.onLost((address) => this.#lost(address))
  }

  get self(): NodeId {
    return this.#directory.self
  }

  get number(): number {
    return this.#directory.number
  }

  /** How many addresses are at home here. */
  get size(): number {
    return this.#held.size
  }

  isValid(): boolean {
    return this.#directory.isValid()
  }

  known(address: string): Home | undefined {
    if (!this.#directory.isValid()) return undefined
    if (this.#held.has(address)) return MINE
    const remembered = this.#remembered.get(address)
    return remembered?.isCurrent === true ? remembered.home : undefined
  }

  claim(address: string): Promise<Home> {
    const known = this.known(address)
    if (known !== undefined) return Promise.resolve(known)
    const running = this.#claims.get(address)
    if (running !== undefined) return running
    const claim = this.#claim(address).finally(() => this.#claims.delete(address))
    this.#claims.set(address, claim)
    return claim
  }

  async homeOf(address: string): Promise<Home | undefined> {
    const known = this.known(address) ?? (await this.#claims.get(address))
    if (known !== undefined) return known
    const node = await this.#directory.find(address)
    if (node === undefined) return undefined
    if (node.epoch !== this.self.epoch) return this.#remember(address, node)
    const claimed = this.known(address) ?? (await this.#claims.get(address))
    if (claimed === undefined) await this.#directory.release(address)
    return claimed
  }

  forget(address: string, node: NodeId): void {
    if (this.#remembered.get(address)?.home.node.epoch === node.epoch) this.#remembered.delete(address)
  }

  async release(address: string): Promise<void> {
    const claim = this.#claims.get(address)
    if (claim !== undefined) await claim.catch(() => {})
    // At once where it can be: nobody takes it for held in between.
    if (!this.#held.delete(address)) return
    const released = this.#directory.release(address)
    this.#tellMoved(address)
    try {
      await released
    } catch (error) {
      // It is put right when somebody asks this node about it.
      if (!(error instanceof HomesError)) throw error
    }
  }

  onLost(handler: (address: string) => void): void {
    this.#onLost.push(handler)
  }

  onFenced(handler: (reason: FenceReason) => void): void {
    this.#directory.onFenced(handler)
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#held].map((address) => this.release(address)))
    await this.#directory.close()
  }

  async #claim(address: string): Promise<Home> {
    const node = await this.#directory.claim(address)
    if (node.epoch !== this.self.epoch) return this.#remember(address, node)
    this.#remembered.delete(address)
    this.#held.add(address)
    return MINE
  }

  #remember(address: string, node: NodeId): Home {
    const remembered = this.#nodes.get(node.epoch) ?? { home: { kind: 'theirs', node }, isCurrent: true }
    // Without a link nobody would say that it moved.
    if (this.#bus.send(node, WATCH, toWire(address))) {
      this.#nodes.set(node.epoch, remembered)
      this.#remembered.set(address, remembered)
    }
    return remembered.home
  }

  #unlinked(node: NodeId): void {
    const remembered = this.#nodes.get(node.epoch)
    if (remembered === undefined) return
    remembered.isCurrent = false
    this.#nodes.delete(node.epoch)
  }

  async #watched(from: NodeId, address: string): Promise<void> {
    await this.#claims.get(address)?.catch(() => {})
    if (!this.#held.has(address)) {
      this.#bus.send(from, MOVED, toWire(address))
      return this.#directory.release(address).catch(() => {})
    }
    const watchers = this.#watchers.get(address) ?? new Map<number, NodeId>()
    watchers.set(from.epoch, from)
    this.#watchers.set(address, watchers)
    if (this.#watchers.size <= this.#maxRemembered) return
    for (const oldest of this.#watchers.keys()) return this.#tellMoved(oldest)
  }

  #tellMoved(address: string): void {
    const watchers = this.#watchers.get(address)
    if (watchers === undefined) return
    this.#watchers.delete(address)
    const payload: Wire = toWire(address)
    for (const node of watchers.values()) this.#bus.send(node, MOVED, payload)
  }

  #lost(address: string): void {
    if (!this.#held.delete(address)) return
    this.#tellMoved(address)
    for (const handler of this.#onLost) handler(address)
  }
}
