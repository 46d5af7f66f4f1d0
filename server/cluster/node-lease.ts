import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { NodeId } from '#server/core/bus.ts'
import { type FenceReason, HomesError } from '#server/core/homes.ts'
import type { Redis } from './redis.ts'
import { JOIN, LEAVE, RENEW } from './redis-scripts.ts'

export interface NodeLeaseOptions {
  readonly redis: Redis
  /** What all keys begin with: the served domain, so that several fleets may share a Redis. */
  readonly fleet: string
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  /** Is told why it cannot join yet. */
  readonly onWait?: (reason: string) => void
  /** How long a node lives without renewing. */
  readonly leaseMs?: number
  /** How long nodes have to register again after Redis was started; a lease, but for tests that know there is nobody. */
  readonly settleMs?: number
}

type LeaseOptions = Required<Omit<NodeLeaseOptions, 'onWait'>>

/** Long enough for a Redis that is restarted; short enough for clients whose node died. */
const LEASE_MS = 5_000
const RENEW_MS = 1_000
/** A node stops before others may believe that it has: what it began before it looked at its clock has this part of its lease to end. */
const SAFE_PART = 0.8

/**
 * This node's lease of its name, a number and its life, in Redis. It is renewed each second. It counts from when the renewal was sent, so it ends here earlier than there;
 * it ends for good: who wants to be a node again joins again, and has another epoch. Thus who is dead stays dead, and what it held may be taken over.
 */
export class NodeLease {
  readonly self: NodeId
  readonly number: number
  readonly #options: LeaseOptions
  readonly #timer: Timer
  readonly #onFenced: ((reason: FenceReason) => void)[] = []
  readonly #onNodes: ((nodes: readonly NodeId[]) => void)[] = []
  readonly #onLife: (() => void)[] = []
  #validUntilMs: number
  #isFenced = false
  #isAway = false
  #life: string | undefined
  #settledAtMs = 0
  #nodes: ReadonlyMap<number, NodeId> = new Map()
  /** The largest epoch that had been given when the nodes were listed. */
  #lastEpoch = 0
  #renewal: Promise<void> | undefined

  private constructor(options: LeaseOptions, self: NodeId, number: number, askedAtMs: number) {
    this.#options = options
    this.self = self
    this.number = number
    this.#validUntilMs = askedAtMs + options.leaseMs * SAFE_PART
    this.#timer = options.clock.every(Math.min(RENEW_MS, options.leaseMs / 5), () => void this.renew())
  }

  /** Joins the fleet; waits for the lease of a node of this name that ended without a word. Rejects with `HomesError`. */
  static async join(options: NodeLeaseOptions): Promise<NodeLease> {
    const leaseMs = options.leaseMs ?? LEASE_MS
    const all = { ...options, leaseMs, settleMs: options.settleMs ?? leaseMs }
    const { clock, log, name } = all
    let hasWaited = false
    for (;;) {
      const askedAtMs = clock.monotonicMs()
      const [answer, first, second] = await ask(all, JOIN, [])
      switch (answer) {
        case 'joined': {
          const lease = new NodeLease(all, { name, epoch: Number(first) }, Number(second), askedAtMs)
          await lease.renew()
          return lease
        }
        case 'settling':
          log.info('cluster-settling', { ms: Number(first) })
          options.onWait?.('it waits for other nodes of a fleet whose Redis is new')
          break
        case 'differs':
          throw new HomesError('unusable', `cluster.lease is ${seconds(first)} at other nodes, and ${seconds(all.settleMs)} here`)
        case 'taken':
          if (hasWaited) throw new HomesError('name-in-use', `another node is called ${name}: give this one another name`)
          hasWaited = true
          log.info('cluster-name-held', { name, ms: Number(first) })
          options.onWait?.(`it waits for the name ${name}, which another node has`)
          break
        default:
          throw new HomesError('full', 'this fleet has 256 nodes already')
      }
      await new Promise<void>((resolve) => clock.after(Number(first) + 1, resolve))
    }
  }

  /** Whether this process is still a node; it looks at the clock. */
  isValid(): boolean {
    if (!this.#isFenced && this.#options.clock.monotonicMs() >= this.#validUntilMs) this.#fence('late')
    return !this.#isFenced
  }

  /** Whether the last renewal failed. */
  get isAway(): boolean {
    return this.#isAway
  }

  /** The nodes that live, without this one, as of the last renewal. */
  get nodes(): readonly NodeId[] {
    return [...this.#nodes.values()].filter(({ epoch }) => epoch !== this.self.epoch)
  }

  /** Whether a node lives. `dead` is for ever; `unknown` until the next renewal. */
  fateOf({ epoch }: NodeId): 'alive' | 'dead' | 'unknown' {
    if (this.#nodes.has(epoch)) return 'alive'
    // Right after Redis forgot, those who live may not have registered again.
    return epoch > this.#lastEpoch || this.#options.clock.monotonicMs() < this.#settledAtMs ? 'unknown' : 'dead'
  }

  /** Renews now, or waits for the renewal that is under way. */
  renew(): Promise<void> {
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined))
    return this.#renewal
  }

  /** Called with the other nodes that live, after each renewal. */
  onNodes(handler: (nodes: readonly NodeId[]) => void): void {
    this.#onNodes.push(handler)
  }

  /** Redis was started anew, or is another: what it was told is gone. */
  onNewLife(handler: () => void): void {
    this.#onLife.push(handler)
  }

  onFenced(handler: (reason: FenceReason) => void): void {
    this.#onFenced.push(handler)
  }

  /** Gives the lease up, so that others need not wait for its end. */
  async leave(): Promise<void> {
    this.#timer.cancel()
    if (this.#isFenced) return
    this.#isFenced = true
    await ask(this.#options, LEAVE, [String(this.self.epoch)]).catch(() => {})
  }

  async #renew(): Promise<void> {
    const { clock, leaseMs, log } = this.#options
    if (!this.isValid()) return
    const askedAtMs = clock.monotonicMs()
    let answer: readonly string[]
    try {
      answer = await ask(this.#options, RENEW, [String(this.self.epoch), String(this.number)])
    } catch (error) {
      if (!this.#isAway) log.warn('cluster-renewal-failed', { error })
      this.#isAway = true
      return
    }
    this.#isAway = false
    // An answer that comes after the end is none.
    if (!this.isValid()) return
    const [verdict, wait, life, lastEpoch, ...nodes] = answer
    if (verdict !== 'renewed') return this.#fence('expelled')
    this.#validUntilMs = askedAtMs + leaseMs * SAFE_PART
    this.#settledAtMs = clock.monotonicMs() + Number(wait)
    this.#lastEpoch = Number(lastEpoch)
    this.#nodes = nodesOf(nodes)
    const isNewLife = this.#life !== undefined && this.#life !== life
    this.#life = life
    if (isNewLife) for (const handler of this.#onLife) handler()
    for (const handler of this.#onNodes) handler(this.nodes)
  }

  #fence(reason: FenceReason): void {
    if (this.#isFenced) return
    this.#isFenced = true
    this.#timer.cancel()
    this.#options.log.error('node-fenced', { node: this.self.name, epoch: this.self.epoch, reason })
    for (const handler of this.#onFenced) handler(reason)
  }
}

const seconds = (ms: string | number | undefined): string => `${Number(ms) / 1_000} s`

const ask = async (options: LeaseOptions, script: typeof JOIN, args: readonly string[]): Promise<readonly string[]> => {
  const tag = `waxwing:{${options.fleet}}`
  const { settleMs, leaseMs, name } = options
  try {
    const answer = await options.redis.run(
      script,
      [`${tag}:nodes`, `${tag}:state`],
      [String(settleMs), String(leaseMs), name, ...args],
    )
    return textsOf(answer)
  } catch (error) {
    throw new HomesError('unavailable', `Redis: ${error instanceof Error ? error.message : 'it failed'}`)
  }
}

/** What a script answered: a list of texts and numbers. */
export const textsOf = (answer: unknown): readonly string[] => (Array.isArray(answer) ? answer.map(String) : [])

const nodesOf = (fields: readonly string[]): ReadonlyMap<number, NodeId> => {
  const nodes = new Map<number, NodeId>()
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const epoch = Number(fields[at + 1])
    nodes.set(epoch, { name: fields[at] ?? '', epoch })
  }
  return nodes
}
