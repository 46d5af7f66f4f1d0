import type { BareJid } from '#stanzas/jid.ts'
import type { Clock } from './base/clock.ts'
import type { Logger } from './base/log.ts'
import type { Pace } from './base/pace.ts'
import { type AccountNews, AccountNewsWire } from './core/account-news.ts'
import type { Accounts } from './core/accounts.ts'
import type { Bus } from './core/bus.ts'
import type { Delivery } from './core/delivery.ts'
import { Forwarding } from './core/forwarding.ts'
import type { HomeCalls } from './core/home-calls.ts'
import type { Homes } from './core/homes.ts'
import { LateEntries } from './core/late-entries.ts'
import type { Ledger } from './core/ledger.ts'
import type { Resends } from './core/resends.ts'
import { Residence } from './core/residence.ts'
import type { Router } from './core/router.ts'
import type { Sessions } from './core/sessions.ts'
import type { Accept } from './stream/connection.ts'
import { Houses } from './stream/houses.ts'

/** What connects a process to the others of its fleet. */
export interface FleetParts {
  readonly bus: Bus
  readonly homes: Homes
}

export interface FleetOptions extends FleetParts {
  readonly domain: string
  readonly sessions: Sessions
  readonly accounts: Accounts
  readonly ledger: Ledger
  readonly delivery: Delivery
  readonly resends: Resends
  readonly router: Router
  readonly homeCalls: HomeCalls
  readonly accept: Accept
  readonly clock: Clock
  readonly log: Logger
  /** Drops what is remembered of an account: it is at home elsewhere, or may have been until now. */
  readonly forget: (account: BareJid) => void
  /** Another node has changed an account. */
  readonly hear: (news: AccountNews) => void | Promise<void>
}

/** One process as a part of several: which accounts are at home in it, and its ways to all others (decision 0010). */
export class Fleet {
  readonly residence: Residence
  readonly forwarding: Forwarding
  readonly houses: Houses
  readonly late: LateEntries
  readonly #news: AccountNewsWire
  readonly #bus: Bus
  readonly #homes: Homes
  readonly #sessions: Sessions
  #draining: Promise<void> | undefined
  #pace: Pace | undefined

  constructor(options: FleetOptions) {
    const { bus, homes, sessions, accounts, ledger, delivery, resends, router, homeCalls, clock, log } = options
    this.#bus = bus
    this.#homes = homes
    this.#sessions = sessions
    this.late = new LateEntries({
      ledger,
      delivery,
      sessions,
      clock,
      isHere: (account) => this.residence.isHere(account),
      onFailure: (account, error) => log.warn('late-entries-not-read', { account, error }),
    })
    this.residence = new Residence({
      homes,
      bus,
      sessions,
      clock,
      exists: (address) => !address.endsWith(`@${options.domain}`) || accounts.exists(address as BareJid),
      onCame: async (address, wasLost) => {
        if (!address.includes('@')) return
        const account = address as BareJid
        // Whatever the clocks say, what is given to the account from now on comes behind what it has.
        const [last] = await ledger.range(account, { limit: 1, backwards: true })
        if (wasLost) this.late.watch(account, last?.id ?? 0)
        if (last === undefined) return
        ledger.heardOf(last.id)
        delivery.reached(last.id)
        if (wasLost) resends.inherited(account, last.id)
      },
      onLeft: (address) => {
        this.late.forget(address as BareJid)
        options.forget(address as BareJid)
      },
      isRemembered: (account) => resends.isRemembered(account),
    })
    this.forwarding = new Forwarding({
      bus,
      residence: this.residence,
      ledger,
      clock,
      domain: options.domain,
      arrive: (...arrived) => router.arrive(...arrived),
      onFailure: (stanza, error) => router.notArrived(stanza, error),
    })
    router.forwardBy(this.forwarding)
    homeCalls.reachBy({ bus, residence: this.residence, forwarding: this.forwarding })
    this.houses = new Houses({ bus, residence: this.residence, accept: options.accept, log })
    this.#news = new AccountNewsWire(bus, options.hear)
    this.residence.start()
  }

  /** Whether everything that is done for the account is done here. */
  isHere(account: string): boolean {
    return this.forwarding.isHere(account)
  }

  /** What the bus carries and does not. */
  traffic(): Bus['counts'] & { readonly links: number; readonly queuedBytes: number } {
    const peers = this.#bus.peers()
    const queuedBytes = peers.reduce((sum, peer) => sum + this.#bus.queuedBytes(peer), 0)
    return { ...this.#bus.counts, links: peers.length, queuedBytes }
  }

  /** Whether there is a node that could go on with what is here. */
  get hasOthers(): boolean {
    return this.#bus.peers().length > 0
  }

  /** Tells the other nodes what happened to an account. */
  tell(news: AccountNews): Promise<void> {
    return this.#news.tell(news)
  }

  /**
   * Takes no more homes, and gives up those that are here: `leave` ends what an account has here, so that its clients go on elsewhere. Clients here whose homes are other nodes are cut then.
   * With a pace they go so many a second; a second call without one makes the first hurry.
   */
  async drain(leave: (account: BareJid) => Promise<unknown>, pace?: Pace): Promise<void> {
    if (pace === undefined) this.#pace?.hurry()
    await this.#draining
    this.#pace = pace
    const turn = (address: string): Promise<void> | undefined =>
      this.#sessions.of(address as BareJid).length === 0 ? undefined : pace?.turn()
    this.#draining = this.residence.drain((address) => leave(address as BareJid), turn).then(() => this.houses.cut(pace))
    await this.#draining
  }

  /** Leaves the fleet: what is at home here may be at home elsewhere from now on. */
  async stop(): Promise<void> {
    this.late.stop()
    await this.residence.stop()
    await this.#homes.close()
    await this.#bus.close()
  }
}
