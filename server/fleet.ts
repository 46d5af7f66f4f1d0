import type { BareJid } from '#stanzas/jid.ts'
import type { Log } from '#storage/shapes.ts'
import type { Clock } from './base/clock.ts'
import type { Logger } from './base/log.ts'
import { type AccountNews, AccountNewsWire } from './core/account-news.ts'
import type { Accounts } from './core/accounts.ts'
import type { Bus } from './core/bus.ts'
import type { Delivery } from './core/delivery.ts'
import { Forwarding } from './core/forwarding.ts'
import type { HomeCalls } from './core/home-calls.ts'
import type { Homes } from './core/homes.ts'
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
  readonly entries: Log
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
  readonly #news: AccountNewsWire
  readonly #bus: Bus
  readonly #homes: Homes

  constructor(options: FleetOptions) {
    const { bus, homes, sessions, accounts, ledger, delivery, resends, router, homeCalls, clock, log } = options
    this.#bus = bus
    this.#homes = homes
    this.residence = new Residence({
      homes,
      bus,
      sessions,
      clock,
      onCame: async (address, wasLost) => {
        if (!address.includes('@')) return
        const account = address as BareJid
        // Whatever the clocks say, what is given to the account from now on comes behind what it has.
        const [last] = await options.entries.range(account, { limit: 1, backwards: true })
        if (last === undefined) return
        ledger.heardOf(last.id)
        delivery.reached(last.id)
        if (wasLost) resends.inherited(account, last.id)
      },
      onLeft: (address) => options.forget(address as BareJid),
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
    this.houses = new Houses({ bus, residence: this.residence, accounts, accept: options.accept, log })
    this.#news = new AccountNewsWire(bus, options.hear)
    this.residence.start()
  }

  /** Whether everything that is done for the account is done here. */
  isHere(account: string): boolean {
    return this.forwarding.isHere(account)
  }

  /** Tells the other nodes what happened to an account. */
  tell(news: AccountNews): Promise<void> {
    return this.#news.tell(news)
  }

  /**
   * Takes no more homes, and gives up those that are here, one after the other and at most so many at once: `leave` ends what an account has here, so that its clients go on elsewhere.
   * Clients that came by other nodes and those whose home is another are cut first.
   */
  async drain(leave: (account: BareJid) => Promise<unknown>): Promise<void> {
    await this.residence.drain((address) => leave(address as BareJid))
    this.houses.cut()
  }

  /** Leaves the fleet: what is at home here may be at home elsewhere from now on. */
  async stop(): Promise<void> {
    await this.residence.stop()
    await this.#homes.close()
    await this.#bus.close()
  }
}
