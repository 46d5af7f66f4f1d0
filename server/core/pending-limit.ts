import type { Clock } from '#server/base/clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { BoundedCache } from './bounded-cache.ts'

/** What the limit needs of the server. */
export interface PendingLimitOptions {
  /** How many messages may wait for one account. */
  readonly max: number
  readonly clock: Clock
  /** How many wait in truth. */
  readonly count: (account: BareJid) => Promise<number>
}

interface Tally {
  pending: number
  readonly countedAtMs: number
  /** Whether there was no room when it was counted. */
  readonly wasFull: boolean
}

/** Accounts that somebody writes to while nobody is there, within an hour; about 2 MB when full. */
const CACHE = { maxEntries: 10_000, maxAgeMs: 3_600_000 }
/** A full account is counted again no sooner: until then its messages are refused without a look at the store. */
const RECOUNT_MS = 10_000

/**
 * How much may wait for an account (XEP-0160 §2). The store counts once; from then on messages are added up here. Nobody tells when a device has taken
 * some, so the sum is never too low, and before anything is refused the store counts again.
 */
export class PendingLimit {
  readonly #options: PendingLimitOptions
  readonly #tallies: BoundedCache<BareJid, Tally>
  readonly #counting = new Map<BareJid, Promise<Tally>>()
  /** Messages that were refused. */
  refused = 0

  constructor(options: PendingLimitOptions) {
    this.#options = options
    this.#tallies = new BoundedCache(options.clock, CACHE)
  }

  /** Whether one more may wait; if so, it is counted. */
  admits(account: BareJid): boolean | Promise<boolean> {
    const tally = this.#tallies.get(account)
    return tally === undefined || this.#isDoubtful(tally)
      ? this.#recount(account).then((counted) => this.#take(counted))
      : this.#take(tally)
  }

  /** Drops what is remembered of an account for which other processes may have kept messages. */
  forget(account: BareJid): void {
    this.#counting.delete(account)
    this.#tallies.delete(account)
  }

  #isDoubtful({ pending, wasFull, countedAtMs }: Tally): boolean {
    if (pending < this.#options.max) return false
    return !wasFull || this.#options.clock.monotonicMs() - countedAtMs >= RECOUNT_MS
  }

  #take(tally: Tally): boolean {
    if (tally.pending >= this.#options.max) {
      this.refused++
      return false
    }
    tally.pending++
    return true
  }

  #recount(account: BareJid): Promise<Tally> {
    const underWay = this.#counting.get(account)
    if (underWay !== undefined) return underWay
    const { count, clock, max } = this.#options
    const isCurrent = (): boolean => this.#counting.get(account) === counting
    const counting: Promise<Tally> = count(account)
      .then((pending) => {
        const tally = { pending, countedAtMs: clock.monotonicMs(), wasFull: pending >= max }
        if (isCurrent()) this.#tallies.set(account, tally)
        return tally
      })
      .finally(() => {
        if (isCurrent()) this.#counting.delete(account)
      })
    this.#counting.set(account, counting)
    return counting
  }
}
