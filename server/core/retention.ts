import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Account, Log } from '#storage/shapes.ts'
import type { Retention } from './ledger.ts'

/** What the sweep needs of the server. */
export interface RetentionOptions {
  readonly accounts: {
    list(domain: string, page?: { readonly after?: BareJid; readonly limit?: number }): Promise<readonly Account[]>
  }
  readonly entries: Pick<Log, 'expire'>
  readonly clock: Clock
  readonly log: Logger
  readonly domain: string
  /** How long a taken entry is kept where its account says nothing else. */
  readonly retention: Retention
  /** What an account says; `undefined` when it says nothing. */
  readonly retentionOf: (account: BareJid) => Promise<Retention | undefined> | undefined
  /** Whether a round is this process's to make, where several serve the same accounts; it stays so while the process lives. */
  readonly isOurs?: () => Promise<boolean>
}

/** A round begins this long after the one before it began, or when that ends; the first one waits as long. */
const ROUND_MS = 3_600_000
/** Accounts that are read, and looked at, in one step; where nothing is old, that is 1 ms of the writer. */
const PAGE = 10
/** Entries that one step removes, of all these accounts together: 4 ms of the writer, for which live messages wait. */
const STEP = 100
/** Between two steps the writer belongs to others. 1,800 entries a second, or 200 accounts, are faster than any server fills up. */
const PAUSE_MS = 50

/** Until when an account's entries are too old. */
interface Old {
  readonly account: BareJid
  readonly beforeMs: number
}

/** 0 for entries that go as soon as they are taken, which mends what a crash has left. */
const keptMs = (retention: Retention): number => (retention === 'until-delivered' ? 0 : retention)

/**
 * Removes entries that are older than they may become (DESIGN P6), a little at a time: the accounts of the domain in pages, of each the oldest
 * entries in slices. What no device has taken yet is kept (see `Log.expire`).
 */
export class RetentionSweep {
  readonly #options: RetentionOptions
  #timer: Timer | undefined
  #hasStopped = false
  #expired = 0

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /** Entries removed so far. */
  get expired(): number {
    return this.#expired
  }

  /** Begins the rounds. */
  start(): void {
    this.#next(ROUND_MS)
  }

  /** Ends them; a step under way is the last. */
  stop(): void {
    this.#hasStopped = true
    this.#timer?.cancel()
  }

  #next(delayMs: number): void {
    const { clock, log } = this.#options
    this.#timer = clock.after(delayMs, () => {
      const beganMs = clock.monotonicMs()
      this.#round()
        // The next round does what this one did not.
        .catch((error: unknown) => log.warn('retention-failed', { error }))
        .then(() => {
          if (!this.#hasStopped) this.#next(Math.max(0, ROUND_MS - (clock.monotonicMs() - beganMs)))
        })
        .catch(() => undefined)
    })
  }

  async #round(): Promise<void> {
    const { accounts, clock, domain, retentionOf, retention, isOurs } = this.#options
    if (isOurs !== undefined && !(await isOurs())) return
    for (let after: BareJid | undefined; !this.#hasStopped; ) {
      const page = await accounts.list(domain, { ...(after === undefined ? {} : { after }), limit: PAGE })
      const nowMs = clock.nowMs()
      const old = await Promise.all(
        page.map(async ({ jid }) => ({ account: jid, beforeMs: nowMs - keptMs((await retentionOf(jid)) ?? retention) })),
      )
      await this.#clean(old.filter(({ beforeMs }) => beforeMs > Number.NEGATIVE_INFINITY))
      after = page.at(-1)?.jid
      if (after === undefined || page.length < PAGE) return
    }
  }

  async #clean(old: readonly Old[]): Promise<void> {
    // Those who keep everything cost a question each, and a pause like the others.
    if (old.length === 0) await this.#pause()
    for (let left = old; left.length > 0 && !this.#hasStopped; ) {
      const slice = Math.ceil(STEP / left.length)
      const removed = await Promise.all(
        left.map(({ account, beforeMs }) => this.#options.entries.expire(account, beforeMs, slice)),
      )
      for (const count of removed) this.#expired += count
      left = left.filter((_, index) => removed[index] === slice)
      await this.#pause()
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = this.#options.clock.after(PAUSE_MS, resolve)
    })
  }
}
