import type { Database } from './database.ts'
import type { LogReader } from './log-reader.ts'
import type { LogStore } from './log-store.ts'
import type { PeerIndex } from './peer-index.ts'
import { ENTRIES_PER_ROW, type PlaceIndex } from './place-index.ts'
import { EVERYTHING, idsIn, POSTING_BYTES, type Posting } from './postings.ts'
import type { Records } from './records.ts'
import type { WordIndex } from './word-index.ts'

/** Garbage rows of one slice: some 500 records, a few ms. */
const ROWS_PER_SLICE = 16

/** Takes entries out of the log. A record goes with the last of its places. */
export class LogRemover {
  readonly #db: Database
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #peers: PeerIndex
  readonly #words: WordIndex
  readonly #reader: LogReader
  readonly #records: Records
  readonly #deletePending
  readonly #deleteOwnersPending
  readonly #discard
  readonly #garbage
  readonly #deleteGarbage

  constructor(
    db: Database,
    parts: {
      readonly store: LogStore
      readonly index: PlaceIndex
      readonly peers: PeerIndex
      readonly words: WordIndex
      readonly reader: LogReader
      readonly records: Records
    },
  ) {
    this.#db = db
    this.#store = parts.store
    this.#index = parts.index
    this.#peers = parts.peers
    this.#words = parts.words
    this.#reader = parts.reader
    this.#records = parts.records
    this.#deletePending = db.prepare('DELETE FROM pending WHERE owner = ? AND id = ?')
    this.#deleteOwnersPending = db.prepare('DELETE FROM pending WHERE owner = ?')
    this.#discard = db.prepare('INSERT INTO garbage (owner, entries) VALUES (?, ?)')
    this.#garbage = db.prepare<[number], { n: number; owner: number; entries: Buffer }>(
      'SELECT n, owner, entries FROM garbage ORDER BY n LIMIT ?',
    )
    this.#deleteGarbage = db.prepare('DELETE FROM garbage WHERE n = ?')
  }

  delete(owner: number, ids: readonly number[]): void {
    for (const id of ids) {
      const found = this.#store.find(owner, id)
      if (found !== undefined) {
        const entry = found[0].postingAt(found[1])
        found[0].remove(found[1])
        this.unlink(owner, entry)
      } else this.removeIndexed(owner, id)
    }
  }

  /** Takes out an entry that the index on disk has, if there is such a one. */
  removeIndexed(owner: number, id: number): void {
    const entry = this.#index.find(owner, id)
    if (entry === undefined) return
    this.#index.remove(owner, id)
    this.#deletePending.run(owner, id)
    this.unlink(owner, entry)
  }

  /** Takes what is left of an entry out of the record, and out of the indexes that are filled when they are asked for. */
  unlink(owner: number, entry: Pick<Posting, 'id' | 'peer'>): void {
    if (entry.id <= this.#peers.progress.of(owner)) this.#peers.remove(owner, entry)
    if (entry.id <= this.#words.progress.of(owner)) this.#words.remove(owner, entry.id)
    this.#records.unlink(owner, entry.id, this.#store.state.lastId)
  }

  expire(owner: number, beforeMs: number, limit: number): number {
    // A window includes its ends; times are whole milliseconds.
    const window = { ...EVERYTHING, untilMs: Math.ceil(beforeMs) - 1 }
    const order = { limit, isBackwards: false, skipsPending: true }
    const old = this.#reader.choose(owner, window, order, Number.POSITIVE_INFINITY).entries
    this.delete(
      owner,
      old.map(({ id }) => id),
    )
    return old.length
  }

  /** Hides all of an owner's entries at once; their records are cleaned in slices (`clean`), for there may be many. */
  deleteOwner(owner: number): void {
    const { state } = this.#store
    if (this.#index.discard(owner)) state.hasGarbage = true
    this.#deleteOwnersPending.run(owner)
    this.#peers.deleteOwner(owner)
    this.#peers.progress.forget(owner)
    for (const tail of state.pass === undefined ? [state.active] : [state.pass.frozen, state.active]) {
      const found = tail.entriesOf(owner)
      const packed = tail.pack(found)
      for (const at of found) tail.remove(at)
      for (let from = 0; from < packed.length; from += ENTRIES_PER_ROW * POSTING_BYTES) {
        this.#discard.run(owner, packed.subarray(from, from + ENTRIES_PER_ROW * POSTING_BYTES))
        state.hasGarbage = true
      }
    }
  }

  /** Cleans up after some of the deleted entries; tells whether there are more. */
  clean(): boolean {
    const rows = this.#garbage.all(ROWS_PER_SLICE)
    this.#db.exec('BEGIN IMMEDIATE')
    for (const { n, owner, entries } of rows) {
      for (const id of idsIn(entries)) {
        this.#words.remove(owner, id)
        this.#records.unlink(owner, id, this.#store.state.lastId)
      }
      this.#deleteGarbage.run(n)
    }
    this.#db.exec('COMMIT')
    return rows.length === ROWS_PER_SLICE
  }
}
