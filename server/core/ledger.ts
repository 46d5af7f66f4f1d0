import type { Clock, Timer } from '#server/base/clock.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import type { Log, LogEntry, LogId, LogPlace } from '#storage/shapes.ts'
import { isText } from './storable.ts'

/** `durable`: stored, then visible, then acknowledged. `relaxed`: visible at once, stored soon. `off`: only what no device took is stored. */
export type LedgerMode = 'durable' | 'relaxed' | 'off'

/** How long entries are kept once delivered: not at all, so many milliseconds, or for ever. */
export type Retention = 'until-delivered' | number

/** 2024-01-01; ids count milliseconds from here. */
const ID_EPOCH_MS = 1_704_067_200_000
/** Ids of one millisecond. */
const IDS_PER_MS = 2048

/** Entries that are no longer wanted are deleted together: so many, or when the first has waited so long. */
const MOST_DOOMED = 1000
const DOOM_MS = 500

/** What one account is to remember of a message. */
export interface Remembered {
  readonly sender: BareJid | undefined
  readonly recipient: BareJid | undefined
  readonly isPending: boolean
}

/**
 * One record of every message that is worth keeping, with marks for those no device has taken.
 * Offline delivery, archive and acknowledgement are views of it (DESIGN §5).
 */
export class Ledger {
  readonly mode: LedgerMode
  /** Messages that were kept, and taken by a device, so far. */
  readonly counts = { kept: 0, taken: 0 }
  readonly #retention: Retention
  readonly #log: Log
  readonly #clock: Clock
  #lastId: LogId
  /** What is to be deleted, by account. */
  #doomed = new Map<BareJid, LogId[]>()
  #doomedCount = 0
  #doom: Timer | undefined

  private constructor(
    log: Log,
    clock: Clock,
    options: { readonly mode: LedgerMode; readonly retention: Retention },
    lastId: LogId,
  ) {
    this.#log = log
    this.#clock = clock
    this.mode = options.mode
    this.#retention = options.retention
    this.#lastId = lastId
  }

  static async open(
    log: Log,
    clock: Clock,
    options: { readonly mode: LedgerMode; readonly retention: Retention },
  ): Promise<Ledger> {
    return new Ledger(log, clock, options, await log.lastId())
  }

  /** The newest id that was given. */
  get lastId(): LogId {
    return this.#lastId
  }

  /** The next id: of this moment, or the one after the last when the clock stands or went back. */
  nextId(): LogId {
    const now = idAt(this.#clock.nowMs())
    this.#lastId = now > this.#lastId ? now : this.#lastId + 1
    return this.#lastId
  }

  /** Adds an entry for each local party; `done` is called when it is durable, in the order of the calls. */
  append(id: LogId, stanza: Stanza, from: Address, to: Address, remembered: Remembered, done: (error?: Error) => void): void {
    const places: LogPlace[] = []
    const { sender, recipient, isPending } = remembered
    if (recipient !== undefined)
      places.push({ owner: recipient, peer: from.bare, direction: 'in', isPending, isTransient: false })
    if (sender !== undefined && sender !== recipient && this.#retention !== 'until-delivered')
      places.push({ owner: sender, peer: to.bare, direction: 'out', isPending: false, isTransient: false })
    if (places.length === 0) return done()
    this.counts.kept++
    this.#log.append({ id, atMs: this.#clock.nowMs(), stanza: stanza.wire, isText: isText(stanza), places }, done)
  }

  /** A device of the account has the message. */
  taken(account: BareJid, id: LogId): void {
    this.counts.taken++
    this.#log.clearPending(account, id, this.#clock.nowMs())
    if (this.#retention === 'until-delivered') this.#dismiss(account, id)
  }

  #dismiss(account: BareJid, id: LogId): void {
    const ids = this.#doomed.get(account)
    if (ids === undefined) this.#doomed.set(account, [id])
    else ids.push(id)
    this.#doomedCount++
    if (this.#doomedCount >= MOST_DOOMED) this.tidy()
    else this.#doom ??= this.#clock.after(DOOM_MS, () => this.tidy())
  }

  /** Deletes what is waiting to be deleted: before the store closes, too. */
  tidy(): void {
    this.#doom?.cancel()
    this.#doom = undefined
    const doomed = this.#doomed
    this.#doomed = new Map()
    this.#doomedCount = 0
    // What is left over by a failure, the sweep of retention.ts takes.
    for (const [account, ids] of doomed) this.#log.delete(account, ids).catch(() => undefined)
  }

  /** The account's undelivered messages after this id, oldest first. */
  pending(account: BareJid, after: LogId, limit: number): Promise<readonly LogEntry[]> {
    return this.#log.pending(account, { after, limit })
  }

  /** Everything the account has received and sent after this id, taken or not, oldest first. */
  since(account: BareJid, after: LogId, limit: number): Promise<readonly LogEntry[]> {
    return this.#log.range(account, { after, limit })
  }

  countPending(account: BareJid): Promise<number> {
    return this.#log.countPending(account)
  }

  forget(account: BareJid): Promise<void> {
    return this.#log.deleteOwner(account)
  }
}

/** The stanza of an entry, read back. */
export const stanzaOf = (entry: LogEntry): Stanza => parseStanza(entry.stanza)

/** The first id of a moment. */
export const idAt = (ms: number): LogId => (ms - ID_EPOCH_MS) * IDS_PER_MS
