import type { Database } from './database.ts'
import type { LogReader } from './log-reader.ts'
import type { LateEntry, LogStore } from './log-store.ts'
import type { Pace } from './pace.ts'
import type { PeerIndex } from './peer-index.ts'
import type { PlaceIndex } from './place-index.ts'
import { EVERYTHING, type Posting } from './postings.ts'
import type { Progress } from './progress.ts'
import { FLAG_PENDING, ownersOf } from './record.ts'
import type { Records } from './records.ts'
import type { Text, WordIndex } from './word-index.ts'

/** Fills the indexes that are filled when they are asked for, and changes what they and the records hold. */
export class LogChanges {
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #addPending
  readonly #reader: LogReader
  readonly #peers: PeerIndex
  readonly #words: WordIndex
  readonly #records: Records
  readonly #pace: Pace

  constructor(
    db: Database,
    parts: {
      readonly store: LogStore
      readonly index: PlaceIndex
      readonly reader: LogReader
      readonly peers: PeerIndex
      readonly words: WordIndex
      readonly records: Records
      readonly pace: Pace
    },
  ) {
    this.#store = parts.store
    this.#index = parts.index
    this.#addPending = db.prepare('INSERT INTO pending (owner, id) VALUES (?, ?)')
    this.#reader = parts.reader
    this.#peers = parts.peers
    this.#words = parts.words
    this.#records = parts.records
    this.#pace = parts.pace
  }

  /** Indexes some of an owner's entries by peer; tells whether there may be more. */
  extendPeers(owner: number): boolean {
    const entries = this.#next(owner, this.#peers.progress.of(owner), this.#pace.entriesPerStep)
    const peers = new Set<number>()
    const end = entries.findIndex(({ peer }) => peers.add(peer).size > this.#pace.peersPerStep)
    this.#peers.add(owner, end < 0 ? entries : entries.slice(0, end))
    this.#store.sought()
    return end >= 0 || entries.length === this.#pace.entriesPerStep
  }

  /** Indexes the words of some of an owner's entries; tells whether there may be more. */
  extendWords(owner: number): boolean {
    const entries = this.#next(owner, this.#words.progress.of(owner), this.#pace.textsPerStep)
    const texts: Text[] = []
    let wordsLeft = this.#pace.wordsPerStep
    for (const { id } of entries) {
      if (wordsLeft <= 0) break
      const words = this.#reader.wordsOf(id)
      wordsLeft -= words.length
      texts.push({ id, words })
    }
    this.#words.add(owner, texts)
    this.#store.sought()
    return texts.length < entries.length || entries.length === this.#pace.textsPerStep
  }

  #next(owner: number, after: number, limit: number): readonly Posting[] {
    return this.#reader.choose(owner, { ...EVERYTHING, after }, { limit, isBackwards: false }, Number.POSITIVE_INFINITY).entries
  }

  /** Puts an entry into the indexes on disk that go further than to it. */
  addLate({ owner, entry, isIndexed }: LateEntry): void {
    if (isIndexed) {
      this.#index.insert(owner, entry)
      if ((entry.flags & FLAG_PENDING) !== 0) this.#addPending.run(owner, entry.id)
    }
    this.#takeBack(owner, entry.id, this.#peers.progress, (each) => this.#peers.remove(owner, each))
    this.#takeBack(owner, entry.id, this.#words.progress, ({ id }) => this.#words.remove(owner, id))
  }

  /** Lets an index that is filled in order end before this entry; it is filled again from there when it is asked for. */
  #takeBack(owner: number, id: number, progress: Progress, remove: (entry: Posting) => void): void {
    const last = progress.of(owner)
    if (last < id) return
    const behind = { ...EVERYTHING, after: id, before: last + 1 }
    const order = { limit: Number.POSITIVE_INFINITY, isBackwards: false }
    for (const entry of this.#reader.choose(owner, behind, order, Number.POSITIVE_INFINITY).entries) remove(entry)
    progress.set(owner, id - 1)
  }

  /** Puts another stanza into the record of an owner's entry; `false` when there is none. */
  replace(owner: number, id: number, stanza: string): boolean {
    const record = this.#reader.finder(owner)(id) === undefined ? undefined : this.#records.read(id)
    if (record === undefined) return false
    this.#records.replace(id, record, stanza)
    const words = this.#reader.wordsOf(id)
    for (const each of ownersOf(record)) this.#words.replace(each, { id, words })
    return true
  }
}
