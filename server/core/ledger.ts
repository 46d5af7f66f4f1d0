import type { Clock, Timer } from '#server/base/clock.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'
import type {
  Log,
  LogConversation,
  LogEntry,
  LogFilter,
  LogId,
  LogPageSize,
  LogPlace,
  LogQuery,
  LogReading,
} from '#storage/shapes.ts'
import { ArchiveEnds, type Ends, type EntryPlace } from './archive-ends.ts'
import { isText } from './storable.ts'

/** `durable`: stored, then visible, then acknowledged. `relaxed`: visible at once, stored soon. `off`: only what no device took is stored. */
export type LedgerMode = 'durable' | 'relaxed' | 'off'

/** How long entries are kept once delivered: not at all, so many milliseconds, or for ever (`Infinity`). */
export type Retention = 'until-delivered' | number

/** 2024-01-01; ids count milliseconds from here. */
const ID_EPOCH_MS = 1_704_067_200_000
/** An id is a millisecond (40 bits, until 2058), a number within it (5 bits) and the node that gave it (8 bits): two nodes never give the same. */
const NODES = 256
const IDS_PER_MS = 32 * NODES

/** Entries that are no longer wanted are deleted together: so many, or when the first has waited so long. */
const MOST_DOOMED = 1000
const DOOM_MS = 500

/** How many entries are remembered to have been told of, lest a second device tell of them again: an eighth of a megabyte, and a prime, so that ids are spread over it. A set of so many ids cost a message half a µs. */
const TOLD = 16_381

/** What becomes of an account's side of a message: it is kept in its archive, or goes once it is delivered. */
export type Archiving = 'archive' | 'transient'

/**
 * Says what an account wants of its messages with a peer (a bare JID). Every message that is kept asks it twice, so it answers from memory where it can;
 * a promise holds up the session that sent the message, and its rejection refuses the message.
 */
export type ArchivePolicy = (owner: BareJid, peer: string, message: Stanza) => Archiving | Promise<Archiving>

/** Which local accounts are to remember a message. */
export interface Remembered {
  /** `undefined` where it is no account's here, or keeps nothing of it. */
  readonly sender: BareJid | undefined
  readonly recipient: BareJid
  /** Whether the recipient's entry goes once it is taken. */
  readonly isTransient: boolean
}

/** A message that is to be kept. */
export interface Kept {
  readonly stanza: Stanza
  readonly from: Address
  readonly to: Address
}

export interface LedgerOptions {
  readonly mode: LedgerMode
  readonly retention: Retention
  /** A number from 0 to 255 that no other process has which writes to the same log; absent where there is no other. */
  readonly node?: number
}

/** What is told of a record that is durable. */
export type KeptListener = (id: LogId, stanza: Stanza, from: Address, to: Address) => void

/** What is told of an entry that a device of its account has taken; also when it was taken. */
export type TakenListener = (account: BareJid, id: LogId, atMs: number) => void

/**
 * One record of every message that is worth keeping, with marks for those no device has taken.
 * Offline delivery, archive and acknowledgement are views of it (DESIGN §5).
 */
export class Ledger {
  readonly mode: LedgerMode
  /** Messages that were kept, and taken by a device, so far. */
  readonly counts = { kept: 0, taken: 0 }
  /** What accounts want of their messages; without it, all are archived. One module's, which takes it away again when it stops. */
  archiving: ArchivePolicy | undefined
  /**
   * Is told of every record once it is durable, before it is delivered (in `relaxed` mode perhaps after that). One module's; it must not throw.
   */
  onKept: KeptListener | undefined
  /**
   * Is told when a device takes a message, and not again when others do soon after. One module's; it must not throw.
   */
  onTaken: TakenListener | undefined
  /** How long an account wants its messages kept, where it says so; asked once an hour for each. One module's. */
  retentionOf: ((account: BareJid) => Promise<Retention | undefined>) | undefined
  readonly #retention: Retention
  readonly #node: number
  readonly #log: Log
  readonly #clock: Clock
  readonly #ends: ArchiveEnds
  #lastId: LogId
  /** What is to be deleted, by account. */
  #doomed = new Map<BareJid, LogId[]>()
  #doomedCount = 0
  #doom: Timer | undefined
  /** The entries that `onTaken` was told of lately, each in its place until another comes there. */
  readonly #told = new Float64Array(TOLD)

  private constructor(log: Log, clock: Clock, options: LedgerOptions, lastId: LogId) {
    this.#log = log
    this.#clock = clock
    this.mode = options.mode
    this.#retention = options.retention
    this.#node = options.node ?? 0
    this.#ends = new ArchiveEnds(log, clock, options.node === undefined)
    this.#lastId = lastId
  }

  static async open(log: Log, clock: Clock, options: LedgerOptions): Promise<Ledger> {
    return new Ledger(log, clock, options, await log.lastId())
  }

  /** How long entries are kept where their account says nothing else, and at most. */
  get retention(): Retention {
    return this.#retention
  }

  /** The newest id that was given, or heard of. */
  get lastId(): LogId {
    return this.#lastId
  }

  /** The next id: of this moment, or the one after the last when the clock stands or went back. */
  nextId(): LogId {
    const now = idAt(this.#clock.nowMs()) + this.#node
    this.#lastId = now > this.#lastId ? now : (Math.floor(this.#lastId / NODES) + 1) * NODES + this.#node
    return this.#lastId
  }

  /** Another node has given this id: those given here from now on are larger, whatever the clocks say. */
  heardOf(id: LogId): void {
    if (id > this.#lastId) this.#lastId = id
  }

  /** The number of the node that gave an id. */
  nodeOf(id: LogId): number {
    return id % NODES
  }

  /** Whether another node than this one has given an id. */
  isOfAnother(id: LogId): boolean {
    return this.nodeOf(id) !== this.#node
  }

  /** An entry of the account's is there that was not written here. */
  landed(account: BareJid, id: LogId): void {
    this.heardOf(id)
    this.#ends.forget(account)
  }

  /** The sender's account, where it is one here (`sender`) and remembers a message to that address; without a promise unless the policy has to look it up. */
  senderPlace(message: Stanza, sender: BareJid | undefined, to: Address): BareJid | undefined | Promise<BareJid | undefined> {
    const policy = this.archiving
    const own = this.#retention === 'until-delivered' || sender === to.bare ? undefined : sender
    if (policy === undefined || own === undefined) return own
    const mine = policy(own, to.bare, message)
    return mine instanceof Promise
      ? mine.then((settled) => (settled === 'archive' ? own : undefined))
      : mine === 'archive'
        ? own
        : undefined
  }

  /** Who remembers a message, when it is known whether the sender does (see `senderPlace`). */
  rememberers(message: Stanza, sender: BareJid | undefined, from: Address, to: Address): Remembered | Promise<Remembered> {
    const remembered = (archiving: Archiving): Remembered => ({
      sender,
      recipient: to.bare,
      isTransient: archiving === 'transient',
    })
    const theirs = this.archiving?.(to.bare, from.bare, message) ?? 'archive'
    return theirs instanceof Promise ? theirs.then(remembered) : remembered(theirs)
  }

  /** Adds an entry for each who remembers, the recipient's pending; `done` is called when it is durable, in the order of the calls. */
  append<K extends Kept>(id: LogId, kept: K, remembered: Remembered, done: (kept: K, id: LogId, error?: Error) => void): void {
    const { stanza, from, to } = kept
    const { sender, recipient, isTransient } = remembered
    const theirs: LogPlace = { owner: recipient, peer: from.bare, direction: 'in', isPending: true, isTransient }
    const places =
      sender === undefined
        ? [theirs]
        : [theirs, { owner: sender, peer: to.bare, direction: 'out', isPending: false, isTransient: false } as const]
    this.counts.kept++
    const atMs = this.#clock.nowMs()
    this.#log.append({ id, atMs, stanza: stanza.encode(), isText: isText(stanza), places }, (error) => {
      if (error === undefined) this.#moveEnds(remembered, { id, atMs })
      try {
        if (error === undefined) this.onKept?.(id, kept.stanza, kept.from, kept.to)
      } finally {
        done(kept, id, error)
      }
    })
  }

  #moveEnds({ sender, recipient, isTransient }: Remembered, place: EntryPlace): void {
    if (!isTransient) this.#ends.added(recipient, place)
    if (sender !== undefined) this.#ends.added(sender, place)
  }

  /** A device of the account has the message. */
  taken(account: BareJid, id: LogId): void {
    this.counts.taken++
    const atMs = this.#clock.nowMs()
    this.#log.clearPending(account, id, atMs)
    if (this.#retention === 'until-delivered') this.#dismiss(account, id)
    if (this.onTaken !== undefined && this.#isNews(id)) this.onTaken(account, id, atMs)
  }

  #isNews(id: LogId): boolean {
    const place = id % TOLD
    if (this.#told[place] === id) return false
    this.#told[place] = id
    return true
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
    for (const [account, ids] of doomed) this.delete(account, ids).catch(() => undefined)
  }

  /** The account's undelivered messages after this id, oldest first. */
  pending(account: BareJid, after: LogId, size: LogPageSize): Promise<readonly LogEntry[]> {
    return this.#log.pending(account, { ...size, after })
  }

  /** Everything the account has received and sent after this id, taken or not, oldest first. */
  since(account: BareJid, after: LogId, size: LogPageSize): Promise<readonly LogEntry[]> {
    return this.#log.range(account, { ...size, after })
  }

  /** One entry of the account's. */
  get(account: BareJid, id: LogId): Promise<LogEntry | undefined> {
    return this.#log.get(account, id)
  }

  /** The account's entries that the filter lets through, a page of them; see `Log.range`. */
  range(account: BareJid, query: LogQuery): Promise<readonly LogEntry[]> {
    return this.#log.range(account, query)
  }

  /** Where the account's archive begins and ends, `undefined` when it is empty; without a promise when that is known. */
  ends(account: BareJid): Ends | undefined | Promise<Ends | undefined> {
    return this.#ends.of(account)
  }

  /** How many entries the filter lets through. */
  count(account: BareJid, filter: LogFilter): Promise<number> {
    return this.#log.count(account, filter)
  }

  /** The account's conversations, the one with the newest text first. */
  conversations(
    account: BareJid,
    page: { readonly before?: LogId; readonly limit: number },
  ): Promise<readonly LogConversation[]> {
    return this.#log.conversations(account, page)
  }

  /** How many texts each of these peers has sent behind what was read. */
  unread(account: BareJid, readings: readonly LogReading[]): Promise<readonly number[]> {
    return this.#log.unread(account, readings)
  }

  /** Entries whose text has all these words, chosen and ordered like `range`. */
  search(account: BareJid, words: string, query: LogQuery): Promise<readonly LogEntry[]> {
    return this.#log.search(account, words, query)
  }

  /** Puts another stanza in a record's place, for all who have it; `false` when this account has no such entry. */
  replace(account: BareJid, id: LogId, stanza: Wire): Promise<boolean> {
    return this.#log.replace(account, id, stanza)
  }

  /** Removes entries of this account; others keep theirs. */
  delete(account: BareJid, ids: readonly LogId[]): Promise<void> {
    return this.#removing(account, () => this.#log.delete(account, ids))
  }

  /** How many messages wait for a device of the account. */
  countPending(account: BareJid): Promise<number> {
    return this.#log.countPending(account)
  }

  /** Removes everything of an account that is no more. */
  forget(account: BareJid): Promise<void> {
    return this.#removing(account, () => this.#log.deleteOwner(account))
  }

  /** Removes entries that are older; see `Log.expire`. */
  expire(account: BareJid, beforeMs: number, limit: number): Promise<number> {
    return this.#removing(account, () => this.#log.expire(account, beforeMs, limit))
  }

  /** What is read while it is under way may be of before or after it. */
  #removing<T>(account: BareJid, remove: () => Promise<T>): Promise<T> {
    this.#ends.forget(account)
    return remove().finally(() => this.#ends.forget(account))
  }
}

/** The stanza of an entry, read back. */
export const stanzaOf = (entry: LogEntry): Stanza => parseStanza(entry.stanza)

/** The first id of a moment. */
export const idAt = (ms: number): LogId => (ms - ID_EPOCH_MS) * IDS_PER_MS

/** How far ids are apart that are given so long after each other. */
export const idSpan = (ms: number): number => ms * IDS_PER_MS

/** The moment of an id; a little late when the clock had gone back. */
export const momentOf = (id: LogId): number => Math.floor(id / IDS_PER_MS) + ID_EPOCH_MS
