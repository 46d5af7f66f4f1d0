import type { Database } from './database.ts'
import { EVERYTHING, type LogReader } from './log-reader.ts'
import type { LogStore } from './log-store.ts'
import { Meta } from './meta.ts'
import { ENTRIES_PER_ROW, type IndexEntry, idsIn, type PlaceIndex, packEntries } from './place-index.ts'
import { headerBytesOf, indexOfOwner, placeCountOf, withoutPlace } from './record.ts'

/** Garbage rows of one slice: some 700 records, a few ms. */
const ROWS_PER_SLICE = 16

/** Takes entries out of the log. A record goes with the last of its places. */
export class LogRemover {
  readonly #db: Database
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #reader: LogReader
  readonly #meta: Meta
  readonly #record
  readonly #shorten
  readonly #delete
  readonly #deletePending
  readonly #deleteOwnersPending
  readonly #discard
  readonly #garbage
  readonly #deleteGarbage

  constructor(db: Database, store: LogStore, index: PlaceIndex, reader: LogReader) {
    this.#db = db
    this.#store = store
    this.#index = index
    this.#reader = reader
    this.#meta = new Meta(db)
    this.#record = db.prepare<[number], { record: Buffer }>('SELECT record FROM log WHERE id = ?')
    this.#shorten = db.prepare('UPDATE log SET record = ? WHERE id = ?')
    this.#delete = db.prepare('DELETE FROM log WHERE id = ?')
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
      if (found !== undefined) found[0].remove(found[1])
      else if (this.#index.remove(owner, id)) this.#deletePending.run(owner, id)
      else continue
      this.#unlink(owner, id)
    }
  }

  replace(owner: number, id: number, stanza: string): boolean {
    if (this.#store.find(owner, id) === undefined && !this.#index.has(owner, id)) return false
    const record = this.#record.get(id)?.record
    if (record === undefined) return false
    this.#shorten.run(Buffer.concat([record.subarray(0, headerBytesOf(placeCountOf(record))), Buffer.from(stanza, 'latin1')]), id)
    return true
  }

  expire(owner: number, beforeMs: number, limit: number): number {
    // A window includes its ends; times are whole milliseconds.
    const window = { ...EVERYTHING, untilMs: Math.ceil(beforeMs) - 1 }
    const old = this.#reader.choose(owner, window, limit, { isBackwards: false, skipsPending: true })
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
    const entries: IndexEntry[] = []
    for (const tail of state.pass === undefined ? [state.active] : [state.pass.frozen, state.active]) {
      for (const at of tail.entriesOf(owner)) {
        entries.push({ id: tail.ids[at] ?? 0, atMs: tail.times[at] ?? 0, peer: tail.peers[at] ?? 0 })
        tail.remove(at)
      }
    }
    for (let from = 0; from < entries.length; from += ENTRIES_PER_ROW) {
      this.#discard.run(owner, packEntries(entries.slice(from, from + ENTRIES_PER_ROW)))
      state.hasGarbage = true
    }
  }

  /** Cleans up after some of the deleted entries; tells whether there are more. */
  clean(): boolean {
    const rows = this.#garbage.all(ROWS_PER_SLICE)
    this.#db.exec('BEGIN IMMEDIATE')
    for (const { n, owner, entries } of rows) {
      for (const id of idsIn(entries)) this.#unlink(owner, id)
      this.#deleteGarbage.run(n)
    }
    this.#db.exec('COMMIT')
    return rows.length === ROWS_PER_SLICE
  }

  #unlink(owner: number, id: number): void {
    const record = this.#record.get(id)?.record
    const index = record === undefined ? -1 : indexOfOwner(record, owner)
    if (record === undefined || index < 0) return
    if (placeCountOf(record) > 1) {
      this.#shorten.run(withoutPlace(record, index), id)
      return
    }
    this.#delete.run(id)
    // The next process counts on from the last id, also when its record is gone.
    if (id === this.#store.state.lastId) this.#meta.set('last-id', id)
  }
}
