import { wire } from '#stanzas/wire.ts'
import type { LogFilter, LogQuery } from '../shapes.ts'
import { wordsOfStanza } from '../words.ts'
import type { Database } from './database.ts'
import type { LogStore } from './log-store.ts'
import type { Names } from './names.ts'
import type { Pace } from './pace.ts'
import type { PeerIndex } from './peer-index.ts'
import type { PlaceIndex } from './place-index.ts'
import { EVERYTHING, isInside, type Posting, type Visitor, type Window, windowOf } from './postings.ts'
import { atOf, FLAG_PENDING, FLAG_TRANSIENT, stanzaOf } from './record.ts'
import type { Records } from './records.ts'
import type { Tail } from './tail.ts'
import type { WordIndex } from './word-index.ts'

/** Entries on their way to the main thread, in columns: few objects to copy. */
export interface Page {
  readonly ids: number[]
  readonly times: number[]
  readonly peers: string[]
  readonly flags: number[]
  /** NaN where no time is known. */
  readonly taken: number[]
  readonly stanzas: string[]
  /** There may be more behind this id, or backwards before it: so much was looked at that others should have their turn. */
  readonly next?: number | undefined
}

/** How many there are up to somewhere, and where to go on counting if that is not the end. */
export type Count = readonly [count: number, next: number | undefined]

/** What has to be indexed before the question can be answered. */
export type Missing = 'peers' | 'words'

interface Order {
  readonly limit: number
  readonly isBackwards: boolean
  readonly skipsPending?: boolean
}

/** What was chosen, and where to go on when so much was looked at that there may be more. */
interface Choices {
  readonly entries: Posting[]
  readonly next?: number | undefined
}

/** The log as its owners read it: the index on disk first, then what is in memory, or the other way round. */
export class LogReader {
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #peers: PeerIndex
  readonly #words: WordIndex
  readonly #names: Names
  readonly #records: Records
  readonly #pace: Pace
  readonly #pendingAfter
  readonly #countPending
  readonly #isPending

  constructor(
    db: Database,
    parts: {
      readonly store: LogStore
      readonly index: PlaceIndex
      readonly peers: PeerIndex
      readonly words: WordIndex
      readonly names: Names
      readonly records: Records
      readonly pace: Pace
    },
  ) {
    this.#store = parts.store
    this.#index = parts.index
    this.#peers = parts.peers
    this.#words = parts.words
    this.#names = parts.names
    this.#records = parts.records
    this.#pace = parts.pace
    this.#pendingAfter = db.prepare<[number, number], { id: number }>(
      'SELECT id FROM pending WHERE owner = ? AND id > ? ORDER BY id',
    )
    this.#countPending = db.prepare<[number], { count: number }>('SELECT count(*) AS count FROM pending WHERE owner = ?')
    this.#isPending = db.prepare<[number, number], { id: number }>('SELECT id FROM pending WHERE owner = ? AND id = ?')
  }

  get(owner: number, id: number): Page {
    const entry = this.finder(owner)(id)
    return this.#page({ entries: entry === undefined ? [] : [entry] })
  }

  range(owner: number, query: LogQuery, peer: number | undefined): Page | Missing {
    const window = windowOf(query, peer)
    const order: Order = { limit: query.limit, isBackwards: query.backwards === true }
    if (peer === undefined) return this.#page(this.choose(owner, window, order, this.#pace.entriesPerLook), query.maxBytes)
    const found = this.#chooseOfPeer(owner, peer, window, order)
    return found === 'peers' ? found : this.#page(found, query.maxBytes)
  }

  #chooseOfPeer(owner: number, peer: number, window: Window, order: Order): Choices | 'peers' {
    const near = this.choose(owner, window, order, this.#pace.unsortedEntries)
    if (near.next === undefined) return near
    const indexedTo = this.#peers.progress.of(owner)
    if (this.#hasMore(owner, indexedTo, this.#pace.unsortedEntries)) return 'peers'
    const visit = (visitor: (id: number) => boolean): void => this.#peers.visit(owner, peer, window, order.isBackwards, visitor)
    return this.#chooseBy(visit, owner, window, order, indexedTo)
  }

  search(owner: number, beginnings: readonly string[], query: LogQuery, peer: number | undefined): Page | Missing {
    const window = windowOf(query, peer)
    const indexedTo = this.#words.progress.of(owner)
    if (this.#hasMore(owner, indexedTo, this.#pace.unreadEntries)) return 'words'
    const order: Order = { limit: query.limit, isBackwards: query.backwards === true }
    const visit = (visitor: (id: number) => boolean): void =>
      this.#words.visit(owner, beginnings, window, order.isBackwards, visitor)
    const isFound = ({ id }: Posting): boolean => {
      const words = this.wordsOf(id)
      return beginnings.every((beginning) => words.some((word) => word.startsWith(beginning)))
    }
    return this.#page(this.#chooseBy(visit, owner, window, order, indexedTo, isFound), query.maxBytes)
  }

  /** How many there are, and where to go on counting. */
  count(owner: number, filter: LogFilter, peer: number | undefined): Count | Missing {
    const window = windowOf(filter, peer)
    if (peer !== undefined) {
      const found = this.#chooseOfPeer(owner, peer, window, { limit: Number.POSITIVE_INFINITY, isBackwards: false })
      return found === 'peers' ? found : [found.entries.length, found.next]
    }
    let count = 0
    const next = this.#visit(owner, window, false, this.#pace.entriesPerLook, () => {
      count += 1
      return true
    })
    return [count, next]
  }

  pending(owner: number, after: number, limit: number, maxBytes: number | undefined): Page {
    const entries: Posting[] = []
    if (limit > 0) {
      const find = this.finder(owner)
      for (const { id } of this.#pendingAfter.iterate(owner, after)) {
        const entry = find(id)
        if (entry !== undefined && (entry.flags & FLAG_PENDING) !== 0) entries.push(entry)
        if (entries.length >= limit) break
      }
    }
    for (const tail of this.#tails()) {
      for (const at of tail.entriesOf(owner, after)) {
        if (entries.length >= limit) break
        if (tail.isPending(at)) entries.push(tail.postingAt(at))
      }
    }
    return this.#page({ entries }, maxBytes)
  }

  countPending(owner: number): number {
    const { marks, pass } = this.#store.state
    let count = this.#countPending.get(owner)?.count ?? 0
    for (const id of new Set([...marks.of(owner), ...(pass?.marks.of(owner) ?? [])])) {
      if (this.#isPending.get(owner, id) !== undefined) count -= 1
    }
    for (const tail of this.#tails()) count += tail.entriesOf(owner).filter((at) => tail.isPending(at)).length
    return count
  }

  /** The words of the record of this id. */
  wordsOf(id: number): readonly string[] {
    const record = this.#records.read(id)
    return record === undefined ? [] : wordsOfStanza(wire(stanzaOf(record)))
  }

  /** An owner's entries inside the window, in order, at most `limit`; without those pending if told. */
  choose(owner: number, window: Window, { limit, isBackwards, skipsPending }: Order, steps: number): Choices {
    const entries: Posting[] = []
    if (limit <= 0) return { entries }
    const next = this.#visit(owner, window, isBackwards, steps, (id, atMs, peer, flags, takenAtMs) => {
      if (skipsPending !== true || (flags & FLAG_PENDING) === 0) entries.push({ id, atMs, peer, flags, takenAtMs })
      return entries.length < limit
    })
    return { entries, next }
  }

  /** Finds entries of an owner as they are now, cheaply those near each other; only as long as nothing is written. */
  finder(owner: number): (id: number) => Posting | undefined {
    const find = this.#index.finder(owner)
    return (id) => {
      const found = this.#store.find(owner, id)
      if (found !== undefined) return found[0].postingAt(found[1])
      const indexed = find(id)
      return indexed === undefined ? undefined : this.#current(owner, indexed)
    }
  }

  /** An indexed entry as it is now; `undefined` when it went with its mark. */
  #current(owner: number, entry: Posting): Posting | undefined {
    const takenAtMs = (entry.flags & FLAG_PENDING) === 0 ? undefined : this.#store.takenAt(owner, entry.id)
    if (takenAtMs === undefined) return entry
    return (entry.flags & FLAG_TRANSIENT) === 0 ? { ...entry, flags: entry.flags & ~FLAG_PENDING, takenAtMs } : undefined
  }

  /** Shows a visitor what is inside the window, as `PlaceIndex.visit` does. */
  #visit(owner: number, window: Window, isBackwards: boolean, steps: number, visitor: Visitor): number | undefined {
    let isDone = false
    const visitIndexed: Visitor = (id, atMs, peer, flags, takenAtMs) => {
      const atTaken = (flags & FLAG_PENDING) === 0 ? undefined : this.#store.takenAt(owner, id)
      if (atTaken === undefined) isDone = !visitor(id, atMs, peer, flags, takenAtMs)
      else if ((flags & FLAG_TRANSIENT) === 0) isDone = !visitor(id, atMs, peer, flags & ~FLAG_PENDING, atTaken)
      return !isDone
    }
    const visitTail = (tail: Tail, at: number): boolean => {
      const { id, atMs, peer, flags, takenAtMs } = tail.postingAt(at)
      if (isInside(window, id, atMs, peer, flags)) isDone = !visitor(id, atMs, peer, flags, takenAtMs)
      return !isDone && id > window.after
    }
    if (isBackwards) {
      for (const tail of this.#tails().reverse()) {
        tail.visitBackwards(owner, (at) => visitTail(tail, at))
        if (isDone) return undefined
      }
      return this.#index.visit(owner, window, true, steps, visitIndexed)
    }
    const next = this.#index.visit(owner, window, false, steps, visitIndexed)
    if (isDone || next !== undefined) return next
    for (const tail of this.#tails()) {
      for (const at of tail.entriesOf(owner, window.after)) if (!visitTail(tail, at)) return undefined
    }
    return undefined
  }

  /** Chooses from the ids that an index shows, which goes up to `indexedTo`, and from the few entries behind it. */
  #chooseBy(
    visit: (visitor: (id: number) => boolean) => void,
    owner: number,
    window: Window,
    order: Order,
    indexedTo: number,
    isFound: (entry: Posting) => boolean = () => true,
  ): Choices {
    const { limit, isBackwards } = order
    const entries: Posting[] = []
    if (limit <= 0) return { entries }
    const behind = { ...window, after: Math.max(window.after, indexedTo) }
    const chooseBehind = (): void => {
      const found = this.choose(owner, behind, { ...order, limit: Number.POSITIVE_INFINITY }, Number.POSITIVE_INFINITY).entries
      for (const entry of found) if (entries.length < limit && isFound(entry)) entries.push(entry)
    }
    if (isBackwards) chooseBehind()
    let [lookUps, next]: [number, number | undefined] = [0, undefined]
    const find = this.finder(owner)
    if (entries.length < limit) {
      visit((id) => {
        const entry = find(id)
        if (entry !== undefined && isInside(window, id, entry.atMs, entry.peer, entry.flags)) entries.push(entry)
        lookUps += 1
        if (lookUps === this.#pace.findsPerLook) next = id
        return entries.length < limit && next === undefined
      })
    }
    if (!isBackwards && next === undefined && entries.length < limit) chooseBehind()
    return { entries, next }
  }

  /** Whether an owner has more entries behind this id than so many. */
  #hasMore(owner: number, after: number, most: number): boolean {
    const window = { ...EVERYTHING, after }
    return this.choose(owner, window, { limit: most + 1, isBackwards: false }, this.#pace.entriesPerLook).entries.length > most
  }

  #tails(): Tail[] {
    const { active, pass } = this.#store.state
    return pass === undefined ? [active] : [pass.frozen, active]
  }

  #page({ entries, next }: Choices, maxBytes = Number.POSITIVE_INFINITY): Page {
    let bytes = 0
    const page: Page = { ids: [], times: [], peers: [], flags: [], taken: [], stanzas: [], next }
    for (const { id, peer, flags, takenAtMs } of entries) {
      const record = this.#records.read(id)
      if (record === undefined) continue
      page.ids.push(id)
      page.times.push(atOf(record))
      page.peers.push(this.#names.textOf(peer))
      page.flags.push(flags)
      page.taken.push(takenAtMs)
      const stanza = stanzaOf(record)
      page.stanzas.push(stanza)
      bytes += stanza.length
      // There is nothing to go on looking for.
      if (bytes >= maxBytes) return { ...page, next: undefined }
    }
    return page
  }
}
