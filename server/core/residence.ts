import type { Clock, Timer } from '#server/base/clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { type Bus, BusError, type NodeId } from './bus.ts'
import { type Home, type Homes, HomesError } from './homes.ts'
import type { Sessions } from './sessions.ts'

interface Held {
  /** What has begun for the address, and how much of it is over. */
  begun: number
  over: number
  /** When it was last seen that something had ended since the time before, and when somebody last began to log in. */
  lastMs: number
  overThen: number
  loginMs: number
  /** Who waits until so much is over. */
  readonly waiting: { readonly at: number; readonly resolve: () => void }[]
}

/** Something that is done here for an address: it is not given to another node before `end`, which is called once, by whoever is last. */
export class Stay {
  /** A stanza is on its way to the disk, and ends it there. */
  isStored = false
  #held: Held | undefined

  constructor(held: Held | undefined) {
    this.#held = held
    if (held !== undefined) held.begun++
  }

  end(): void {
    const held = this.#held
    if (held === undefined) return
    this.#held = undefined
    held.over++
    while ((held.waiting[0]?.at ?? Number.POSITIVE_INFINITY) <= held.over) held.waiting.shift()?.resolve()
  }
}

/** Where an address is at home, as far as this node needs to know. */
export type Place = 'here' | 'nowhere' | NodeId

const YIELD = 'home-yield'
const TAKE = 'home-take'
const YES = toWire('yes')
const NO = toWire('no')

/** An account stays so long after the last thing that happened to it: who comes back finds what was remembered. */
const IDLE_MS = 60_000
const SWEEP_MS = 10_000
/** A login that has begun is given so long to bind a resource before the account may be taken elsewhere. */
const LOGIN_MS = 15_000
/** How long a login waits for a home that cannot be reached: longer than the lease of a node that died. */
const PATIENCE_MS = 15_000
const RETRY_MS = 200
/** Addresses that are given up at the same time when the process stops. */
const LEAVING_AT_ONCE = 32
const LEAVING_MS = 5_000
/** After the loss of a node, accounts that come here may have come from it. */
const MOURNING_MS = 60_000

export interface ResidenceOptions {
  readonly homes: Homes
  readonly bus: Bus
  readonly sessions: Sessions
  readonly clock: Clock
  /** Whether there is such an account or service: nothing is at home that does not exist. */
  readonly exists: (address: string) => boolean | Promise<boolean>
  /** The address has become at home here; `wasLost`: perhaps after its node was lost. What it waits for comes before anything is done for it. */
  readonly onCame: (address: string, wasLost: boolean) => Promise<void>
  /** It is at home here no more, or was never: what is remembered of it is outdated. */
  readonly onLeft: (address: string) => void
  /** Whether something that is only in memory is still needed for the account. */
  readonly isRemembered: (account: BareJid) => boolean
}

/** Which accounts and services are at home in this process (decision 0010): when they come, and when they may go. */
export class Residence {
  /** Addresses that became at home here, and that left. */
  readonly counts = { came: 0, left: 0 }
  readonly #homes: Homes
  readonly #bus: Bus
  readonly #options: ResidenceOptions
  readonly #clock: Clock
  readonly #held = new Map<string, Held>()
  readonly #coming = new Map<string, Promise<void>>()
  /** Accounts that somebody is logging in to, and how many: they are not given away as soon as they come. */
  readonly #expected = new Map<string, number>()
  #sweeper: Timer | undefined
  #lostNodeMs = Number.NEGATIVE_INFINITY
  #isDraining = false
  /** Addresses that are being given up. */
  readonly #going = new Map<string, Promise<void>>()

  constructor(options: ResidenceOptions) {
    this.#options = options
    this.#homes = options.homes
    this.#bus = options.bus
    this.#clock = options.clock
    options.bus.onRequest(YIELD, async (_from, address) => ((await this.#yield(toText(address))) ? YES : NO))
    options.bus.onRequest(TAKE, async (_from, address) => ((await this.#take(toText(address))) ? YES : NO))
    options.bus.onPeerLost(() => {
      this.#lostNodeMs = this.#clock.monotonicMs()
    })
    options.homes.onLost((address) => {
      if (!this.#held.delete(address)) return
      this.counts.left++
      options.onLeft(address)
    })
  }

  get self(): NodeId {
    return this.#homes.self
  }

  /** How many addresses are at home here. */
  get size(): number {
    return this.#held.size
  }

  /** Addresses that are about to be, and that are being given up. */
  get coming(): number {
    return this.#coming.size
  }
  get going(): number {
    return this.#going.size
  }

  start(): void {
    this.#sweeper = this.#clock.every(SWEEP_MS, () => this.#sweep())
  }

  /** Gives up every address; nothing is done for them any more. */
  async stop(): Promise<void> {
    this.#sweeper?.cancel()
    await Promise.allSettled([...this.#held.keys()].map((address) => this.#release(address)))
  }

  /** Takes no more addresses, and gives up all that are here, each when `turn` lets it and `leave` first; those that ask for one meanwhile wait for it. */
  async drain(
    leave: (address: string) => Promise<unknown>,
    turn: (address: string) => Promise<void> | undefined = () => undefined,
  ): Promise<void> {
    this.#isDraining = true
    const addresses = [...this.#held.keys()]
    const next = async (): Promise<void> => {
      for (let address = addresses.shift(); address !== undefined; address = addresses.shift()) {
        await turn(address)
        if (this.#held.has(address)) await this.#goFrom(address, leave)
      }
    }
    await Promise.all(Array.from({ length: LEAVING_AT_ONCE }, next))
  }

  #goFrom(address: string, leave: (address: string) => Promise<unknown>): Promise<void> {
    // A store that does not answer holds nobody up for ever: what is not recorded is pending.
    const late = new Promise<void>((resolve) => this.#clock.after(LEAVING_MS, resolve))
    const left = leave(address).then(() => this.caughtUp(address))
    const going = Promise.race([left, late])
      .then(() => this.#release(address))
      .finally(() => this.#going.delete(address))
    this.#going.set(address, going)
    return going
  }

  /** Whether this process may act for an address; it looks at the clock, since a process that was stopped is told by nobody. */
  isHere(address: string): boolean {
    return this.#held.has(address) && this.#homes.isValid()
  }

  /** The other node that is known to be its home and can be reached. */
  knownNode(address: string): NodeId | undefined {
    const home = this.#homes.known(address)
    return home?.kind === 'theirs' && this.#bus.isLinked(home.node) ? home.node : undefined
  }

  /** Finds where an address is at home; with `claims` that is here, unless it is elsewhere or does not exist. Rejects when that cannot be known or reached just now. */
  async find(address: string, claims: boolean): Promise<Place> {
    if (this.isHere(address)) return 'here'
    if (claims && !(await this.#options.exists(address))) return 'nowhere'
    const home = claims && !this.#isDraining ? await this.#homes.claim(address) : await this.#homes.homeOf(address)
    if (home === undefined) return claims ? this.#placeElsewhere(address) : 'nowhere'
    return home.kind === 'mine' ? this.#come(address) : this.#reachable(address, home)
  }

  /** While this node is drained, those who are still here go on writing to those who are nowhere: some other node takes them. */
  async #placeElsewhere(address: string): Promise<NodeId> {
    for (const node of this.#bus.peers()) {
      const answer = await this.#bus.request(node, TAKE, toWire(address)).catch(() => NO)
      if (answer === YES) return node
    }
    throw new HomesError('unavailable', 'this node stops')
  }

  async #take(address: string): Promise<boolean> {
    return !this.#isDraining && (await this.find(address, true)) === 'here'
  }

  async #come(address: string): Promise<Place> {
    if (this.#held.has(address)) return 'here'
    let coming = this.#coming.get(address)
    if (coming === undefined) {
      const wasLost = this.#clock.monotonicMs() - this.#lostNodeMs < MOURNING_MS
      this.#options.onLeft(address)
      coming = this.#options
        .onCame(address, wasLost)
        .then(() => {
          if (this.#homes.known(address)?.kind !== 'mine') throw new HomesError('unavailable', `${address} was lost at once`)
          this.counts.came++
          this.#held.set(address, {
            begun: 0,
            over: 0,
            overThen: 0,
            waiting: [],
            lastMs: this.#clock.monotonicMs(),
            loginMs: this.#expected.has(address) ? this.#clock.monotonicMs() : Number.NEGATIVE_INFINITY,
          })
        })
        .finally(() => this.#coming.delete(address))
      this.#coming.set(address, coming)
    }
    await coming
    // Another node may have waited for just this moment to ask for it.
    if (!this.#held.has(address)) throw new HomesError('unavailable', `${address} was given away at once`)
    return 'here'
  }

  #reachable(address: string, { node }: Home & { readonly kind: 'theirs' }): NodeId {
    if (this.#bus.isLinked(node)) return node
    this.#homes.forget(address, node)
    throw new HomesError('unavailable', `${node.name} cannot be reached`)
  }

  /**
   * Where somebody who logs in to the account is to be served: here, unless it is in use at another node. Rejects with `HomesError` when that stays unknown for too long.
   */
  async welcome(account: BareJid): Promise<'here' | NodeId> {
    this.#expected.set(account, (this.#expected.get(account) ?? 0) + 1)
    try {
      return await this.#welcome(account)
    } finally {
      const others = (this.#expected.get(account) ?? 1) - 1
      if (others === 0) this.#expected.delete(account)
      else this.#expected.set(account, others)
    }
  }

  async #welcome(account: BareJid): Promise<'here' | NodeId> {
    const deadlineMs = this.#clock.monotonicMs() + PATIENCE_MS
    for (;;) {
      // Who comes now would be sent away at once.
      if (this.#isDraining && !this.#held.has(account)) throw new HomesError('unavailable', 'this node stops')
      try {
        const place = await this.find(account, true)
        // Who does not exist is refused anywhere.
        if (place === 'nowhere') return 'here'
        if (place === 'here') {
          // It was given away while this waited.
          if (!this.#held.has(account)) continue
          this.atDoor(account)
          return 'here'
        }
        if ((await this.#bus.request(place, YIELD, toWire(account))) === NO) return place
        this.#homes.forget(account, place)
      } catch (error) {
        if (!(error instanceof HomesError || error instanceof BusError)) throw error
        if (this.#clock.monotonicMs() >= deadlineMs || !this.#homes.isValid()) throw error
        await new Promise<void>((resolve) => this.#clock.after(RETRY_MS, resolve))
      }
    }
  }

  /** Somebody logs in to an account that is at home here: it stays for as long as that may take. */
  atDoor(account: BareJid): void {
    const held = this.#held.get(account)
    if (held !== undefined) held.loginMs = this.#clock.monotonicMs()
  }

  /** Something begins for an address that is at home here; if it is not, there is nothing to hold it. */
  enter(address: string): Stay {
    return new Stay(this.#held.get(address))
  }

  /** Resolves when what has begun for the address so far is over, or as much of what began later. */
  caughtUp(address: string): Promise<void> | undefined {
    const held = this.#held.get(address)
    if (held === undefined || held.over === held.begun) return undefined
    return new Promise((resolve) => held.waiting.push({ at: held.begun, resolve }))
  }

  /** Something was done for an account without being its home: what was remembered by that is forgotten. */
  leave(address: string): void {
    if (!this.#held.has(address)) this.#options.onLeft(address)
  }

  /** Another node would like to be the home. */
  async #yield(address: string): Promise<boolean> {
    await this.#coming.get(address)
    await this.#going.get(address)
    const held = this.#held.get(address)
    if (held === undefined) return true
    const isAtDoor = this.#clock.monotonicMs() - held.loginMs < LOGIN_MS
    if (!this.#isFree(address, held) || isAtDoor || this.#options.isRemembered(address as BareJid)) return false
    await this.#release(address)
    return true
  }

  #isFree(address: string, { begun, over }: Held): boolean {
    return begun === over && this.#options.sessions.of(address as BareJid).length === 0
  }

  async #release(address: string): Promise<void> {
    if (this.#held.delete(address)) this.counts.left++
    this.#options.onLeft(address)
    await this.#homes.release(address)
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const [address, held] of this.#held) {
      if (!this.#isFree(address, held) || held.over !== held.overThen) {
        held.lastMs = nowMs
        held.overThen = held.over
      } else if (nowMs - held.lastMs >= IDLE_MS && nowMs - held.loginMs >= LOGIN_MS) void this.#release(address)
    }
  }
}
