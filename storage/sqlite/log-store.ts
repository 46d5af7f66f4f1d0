import type { Database } from './database.ts'
import type { Failure } from './failure.ts'
import { lockLog } from './log-lock.ts'
import { type LogState, recover } from './log-state.ts'
import { ClearedRows } from './marks.ts'
import type { Names } from './names.ts'
import { FLAG_TRANSIENT, headerBytesOf, indexOfOwner, PLACE_BYTES, placeOf, RECORD_HEADER_BYTES } from './record.ts'
import type { Tail } from './tail.ts'

/** Rows of one INSERT: each call of a statement has a price of its own. */
const ROWS_PER_INSERT = 8

/**
 * The log as the writer appends to it. Records go to disk in sequence and nowhere else; who they belong to is kept in memory (`LogState`)
 * until a pass of `Indexing` writes it in bulk. Used inside the batch's transaction: `begin`, any number of operations, `finish`, and after a rollback `fail`.
 */
export class LogStore {
  readonly #db: Database
  readonly #folder: string
  readonly #names: Names
  readonly #insertOne
  readonly #insertMany
  readonly #cleared: ClearedRows
  readonly #setTaken
  readonly #isPending
  readonly #record
  #lock: { release(): void } | undefined
  #state: LogState | undefined
  /** Values of the rows that wait for their INSERT. */
  #rows: (number | Buffer)[] = []
  /** Marks taken off by this batch. */
  #taken: (readonly [owner: number, id: number, takenAtMs: number])[] = []
  /** Marks of failed batches, to go with the next one; nobody else remembers them. */
  #retained: (readonly [owner: number, id: number, takenAtMs: number])[] = []
  #lastIdBefore = 0

  constructor(db: Database, folder: string, names: Names) {
    this.#db = db
    this.#folder = folder
    this.#names = names
    this.#insertOne = db.prepare('INSERT INTO log (id, record) VALUES (?, ?)')
    this.#insertMany = db.prepare(`INSERT INTO log (id, record) VALUES ${Array(ROWS_PER_INSERT).fill('(?, ?)').join(', ')}`)
    this.#cleared = new ClearedRows(db)
    this.#setTaken = db.prepare('INSERT OR IGNORE INTO taken VALUES (?, ?, ?)')
    this.#isPending = db.prepare('SELECT 1 FROM pending WHERE owner = ? AND id = ?')
    this.#record = db.prepare<[number], { record: Buffer }>('SELECT record FROM log WHERE id = ?')
  }

  /** The state, read from disk at the first use and after a failure. */
  get state(): LogState {
    if (this.#state !== undefined) return this.#state
    this.#lock ??= lockLog(this.#folder)
    this.#state = recover(this.#db)
    this.#lastIdBefore = this.#state.lastId
    return this.#state
  }

  /** Whether this process has used the log, and so owns it. */
  get isInUse(): boolean {
    return this.#state !== undefined
  }

  get hasRetained(): boolean {
    return this.#retained.length > 0
  }

  begin(): void {
    if (this.#state !== undefined) this.#lastIdBefore = this.#state.lastId
    if (this.#retained.length === 0) return
    const retained = this.#retained
    this.#retained = []
    for (const [owner, id, takenAtMs] of retained) this.#clear(owner, id, takenAtMs)
  }

  /** Adds a packed record, turning its references into rows of `names`; tells why when it is refused. */
  append(id: number, record: Buffer, view: DataView, from: number): Failure | undefined {
    const state = this.state
    if (!(id > state.lastId)) return { message: `log id ${id} is not above ${state.lastId}`, isTransient: false }
    state.lastId = id
    const atMs = view.getFloat64(from, true)
    const end = from + headerBytesOf(view.getUint16(from + 8, true))
    for (let place = from + RECORD_HEADER_BYTES; place < end; place += PLACE_BYTES) {
      const owner = this.#names.rowOf(view.getUint32(place, true))
      const peer = this.#names.rowOf(view.getUint32(place + 4, true))
      view.setUint32(place, owner, true)
      view.setUint32(place + 4, peer, true)
      state.active.add(id, atMs, owner, peer, view.getUint8(place + 8))
    }
    this.#rows.push(id, record)
    if (this.#rows.length === ROWS_PER_INSERT * 2) {
      this.#insertMany.run(...this.#rows)
      this.#rows.length = 0
    }
    return undefined
  }

  /** Takes a mark off the entry of a referenced owner, whom it returns when the entry is to go with its mark. */
  clearPending(reference: number, id: number, takenAtMs: number): number | undefined {
    const owner = this.#names.rowOf(reference)
    return this.#clear(owner, id, takenAtMs) ? owner : undefined
  }

  /** Writes what waits to be written with others, so that it can be read. */
  writeRows(): void {
    for (let at = 0; at < this.#rows.length; at += 2) this.#insertOne.run(this.#rows[at], this.#rows[at + 1])
    this.#rows.length = 0
  }

  /** Writes the rest of the batch. */
  finish(): void {
    this.writeRows()
    if (this.#taken.length > 0) this.#cleared.write(this.#taken)
  }

  /** The batch is durable. */
  succeed(): void {
    this.#taken = []
  }

  /** The batch was rolled back: what is in memory is no longer what is on disk. */
  fail(): void {
    // An entry of the same batch never came to be, and neither did its mark.
    this.#retained.push(...this.#taken.filter(([, id]) => id <= this.#lastIdBefore))
    this.#taken = []
    this.#rows.length = 0
    this.forget()
  }

  /** Drops the state, to be read anew. */
  forget(): void {
    this.#state = undefined
    this.#names.forget()
  }

  close(): void {
    this.#lock?.release()
    this.#lock = undefined
  }

  /** The entry in memory of an owner and id: its tail and where in it. */
  find(owner: number, id: number): readonly [tail: Tail, at: number] | undefined {
    const { active, pass } = this.state
    const at = active.find(owner, id)
    if (at >= 0) return [active, at]
    const frozenAt = pass?.frozen.find(owner, id) ?? -1
    return pass === undefined || frozenAt < 0 ? undefined : [pass.frozen, frozenAt]
  }

  /** Whether an indexed entry's mark was taken off since. */
  isCleared(owner: number, id: number): boolean {
    const { marks, pass } = this.state
    return marks.has(owner, id) || (pass?.marks.has(owner, id) ?? false)
  }

  #clear(owner: number, id: number, takenAtMs: number): boolean {
    const found = this.find(owner, id)
    if (found !== undefined) {
      const [tail, at] = found
      if (!tail.isPending(at)) return false
      tail.clearPending(at)
    } else {
      // Whether an indexed entry is pending is not worth a search here; a mark too many harms nothing.
      if (id > this.state.lastId || this.isCleared(owner, id) || this.#isPending.get(owner, id) === undefined) return false
      this.state.marks.add(owner, id)
    }
    this.#setTaken.run(owner, id, takenAtMs)
    this.#taken.push([owner, id, takenAtMs])
    this.writeRows()
    const record = this.#record.get(id)?.record
    const index = record === undefined ? -1 : indexOfOwner(record, owner)
    return record !== undefined && index >= 0 && (placeOf(record, index).flags & FLAG_TRANSIENT) !== 0
  }
}
