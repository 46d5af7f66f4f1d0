import type { Clock, Timer } from '#server/base/clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { LogEntry, LogId } from '#storage/shapes.ts'
import type { Delivery } from './delivery.ts'
import { idSpan, type Ledger, stanzaOf } from './ledger.ts'
import { newest } from './newest.ts'
import { printsOf } from './resends.ts'
import type { Sessions } from './sessions.ts'

/** How long after an account came it is looked at: what a lost process had sent is there at once, or a lease later, or when a broken connection has been given up. */
const LOOKS_MS = [2_000, 10_000, 60_000]
const TICK_MS = 1_000
const AT_ONCE = 8
/** Other nodes write to the account's log, too, by their own clocks: what lands may go in front of what was there. */
const MARGIN_MS = 60_000
/** What one look reads, at most. */
const PAGE = { limit: 100, maxBytes: 262_144 }
const RECENT = { limit: 1_000, maxBytes: 4_194_304 }

interface Watched {
  readonly after: LogId
  readonly cameMs: number
  looks: number
}

/**
 * What a lost node had on its way to the store may land when its accounts are at home here already: then it is pending, and nobody was told. So accounts that came after a loss are looked
 * at again, a few times. What nobody was sent is sent; what was sent here again meanwhile, because nobody knew that it would land, goes.
 */
export class LateEntries {
  /** Sessions that were sent what had landed late, and entries that went because they had been sent again. */
  readonly counts = { found: 0, repeated: 0 }
  readonly #ledger: Ledger
  readonly #delivery: Delivery
  readonly #sessions: Sessions
  readonly #clock: Clock
  readonly #isHere: (account: BareJid) => boolean
  readonly #onFailure: (account: BareJid, error: unknown) => void
  readonly #watched = new Map<BareJid, Watched>()
  readonly #due: BareJid[] = []
  #working = 0
  #timer: Timer | undefined

  constructor(parts: {
    readonly ledger: Ledger
    readonly delivery: Delivery
    readonly sessions: Sessions
    readonly clock: Clock
    readonly isHere: (account: BareJid) => boolean
    readonly onFailure: (account: BareJid, error: unknown) => void
  }) {
    this.#ledger = parts.ledger
    this.#delivery = parts.delivery
    this.#sessions = parts.sessions
    this.#clock = parts.clock
    this.#isHere = parts.isHere
    this.#onFailure = parts.onFailure
  }

  /** An account has come whose node may have been lost; this is its last entry, if it has any. */
  watch(account: BareJid, last: LogId): void {
    this.#watched.set(account, {
      after: Math.max(0, last - idSpan(MARGIN_MS)),
      cameMs: this.#clock.monotonicMs(),
      looks: 0,
    })
    this.#timer ??= this.#clock.every(TICK_MS, () => this.#tick())
  }

  /** It is at home here no more. */
  forget(account: BareJid): void {
    this.#watched.delete(account)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#watched.clear()
    this.#due.length = 0
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const [account, watched] of this.#watched) {
      const dueMs = LOOKS_MS[watched.looks] ?? 0
      if (nowMs - watched.cameMs < dueMs) continue
      watched.looks++
      this.#due.push(account)
    }
    while (this.#working < AT_ONCE && this.#due.length > 0) void this.#work()
    if (this.#watched.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
  }

  async #work(): Promise<void> {
    this.#working++
    for (let account = this.#due.shift(); account !== undefined; account = this.#due.shift()) {
      const watched = this.#watched.get(account)
      if (watched === undefined) continue
      if (watched.looks >= LOOKS_MS.length) this.#watched.delete(account)
      try {
        await this.#look(account, watched.after)
      } catch (error) {
        this.#onFailure(account, error)
      }
    }
    this.#working--
  }

  async #look(account: BareJid, after: LogId): Promise<void> {
    const pending = await this.#ledger.pending(account, after, PAGE)
    if (!this.#isHere(account)) return
    const overlooked = this.#overlooked(account, pending)
    if (overlooked.length === 0) return
    const repeated = await this.#repeated(account, after, overlooked)
    if (!this.#isHere(account)) return
    for (const entry of overlooked) this.#ledger.landed(account, entry.id)
    await Promise.all(repeated.map((entry) => this.#remove(account, entry)))
    const [first] = overlooked.filter((entry) => !repeated.includes(entry))
    if (first !== undefined) this.#send(account, first.id)
  }

  /** Entries that another node gave, and that no session here was sent. What a session is still to read is among them. */
  #overlooked(account: BareJid, pending: readonly LogEntry[]): readonly LogEntry[] {
    const told = new Set(this.#sessions.of(account).flatMap(({ outlet }) => outlet.untaken().map(({ mark }) => mark)))
    return pending.filter(({ id, direction }) => direction === 'in' && this.#ledger.isOfAnother(id) && !told.has(id))
  }

  /** Those that are there once more, from another node than they came from: that one was sent later. */
  async #repeated(account: BareJid, after: LogId, overlooked: readonly LogEntry[]): Promise<readonly LogEntry[]> {
    const isOverlooked = new Set(overlooked.map(({ id }) => id))
    const marksOf = (entry: LogEntry): readonly string[] => {
      const message = stanzaOf(entry)
      return printsOf(message, account).map((print) => `${message.from?.jid} ${print}`)
    }
    const known = new Map<string, LogId[]>()
    for await (const slice of newest(this.#ledger, account, { after }, RECENT))
      for (const entry of slice)
        if (entry.direction === 'in') for (const mark of marksOf(entry)) known.set(mark, [...(known.get(mark) ?? []), entry.id])
    const stands = (id: LogId, other: LogId): boolean =>
      this.#ledger.nodeOf(other) !== this.#ledger.nodeOf(id) && (other > id || !isOverlooked.has(other))
    return overlooked.filter((entry) => marksOf(entry).some((mark) => known.get(mark)?.some((other) => stands(entry.id, other))))
  }

  async #remove(account: BareJid, entry: LogEntry): Promise<void> {
    this.counts.repeated++
    await this.#ledger.delete(account, [entry.id])
    // The sender's copy, where the sender is one of ours and keeps it.
    const sender = stanzaOf(entry).from?.bare
    if (sender !== undefined && sender !== account) await this.#ledger.delete(sender, [entry.id])
  }

  #send(account: BareJid, first: LogId): void {
    for (const session of this.#sessions.of(account)) {
      // It comes to it by itself.
      if (session.isCatchingUp && session.cursor < first) continue
      this.counts.found++
      this.#delivery.sendBack(session, first - 1)
    }
  }
}
