import type { Database } from './database.ts'
import type { Failure } from './failure.ts'
import { lockLog } from './log-lock.ts'
import { type LogState, recover } from './log-state.ts'
import { ClearedRows, type Mark } from './marks.ts'
import type { Names } from './names.ts'
import type { Posting } from './postings.ts'
import { FLAG_TRANSIENT, headerBytesOf, PLACE_BYTES, RECORD_HEADER_BYTES } from './record.ts'
import type { Tail } from './tail.ts'

/** Rows of one INSERT: each call of a statement has a price of its own. */
const ROWS_PER_INSERT = 8

/** An entry that came behind a higher id, and belongs into indexes on disk. */
export interface LateEntry {
  readonly owner: number
  readonly entry: Posting
  /** Whether neither tail has it. */
  readonly isIndexed: boolean
}

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
  readonly #exists
  readonly #cleared: ClearedRows
  #lock: { release(): void } | undefined
  #state: LogState | undefined
  /** Values of the rows that wait for their INSERT. */
  #rows: (number | Buffer)[] = []
  /** Marks taken off by this batch. */
  #taken: Mark[] = []
  /** Of those, the ones whose entries were in memory and went with their marks; their places in the records are to follow. */
  #left: { readonly mark: Mark; readonly peer: number }[] = []
  #unlinked = 0
  #late: LateEntry[] = []
  /** Ids of this batch that came behind a higher one. */
  readonly #lateIds = new Set<number>()
  /** Marks of failed batches, to go with the next one; nobody else remembers them. */
  #retained: Mark[] = []
  #lastIdBefore = 0

  constructor(db: Database, folder: string, names: Names) {
    this.#db = db
    this.#folder = folder
    this.#names = names
    this.#insertOne = db.prepare('INSERT INTO log (id, record) VALUES (?, ?)')
    this.#insertMany = db.prepare(`INSERT INTO log (id, record) VALUES ${Array(ROWS_PER_INSERT).fill('(?, ?)').join(', ')}`)
    this.#exists = db.prepare<[number], { id: number }>('SELECT id FROM log WHERE id = ?')
    this.#cleared = new ClearedRows(db)
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
    for (const mark of retained) this.#clear(...mark)
  }

  /** Adds a packed record, turning its references into rows of `names`; tells why when it is refused. */
  append(id: number, record: Buffer, view: DataView, from: number): Failure | undefined {
    const state = this.state
    const isLate = !(id > state.lastId)
    if (isLate) {
      if (!this.#isFree(id)) return { message: `log id ${id} has been used`, isTransient: false }
      this.#lateIds.add(id)
      state.lateness = Math.max(state.lateness, state.lastId - id)
    } else state.lastId = id
    const atMs = view.getFloat64(from, true)
    const end = from + headerBytesOf(view.getUint16(from + 8, true))
    for (let place = from + RECORD_HEADER_BYTES; place < end; place += PLACE_BYTES) {
      const owner = this.#names.rowOf(view.getUint32(place, true))
      const peer = this.#names.rowOf(view.getUint32(place + 4, true))
      view.setUint32(place, owner, true)
      view.setUint32(place + 4, peer, true)
      const flags = view.getUint8(place + 8)
      if (isLate) this.#addLate(owner, { id, atMs, peer, flags, takenAtMs: Number.NaN })
      else state.active.add(id, atMs, owner, peer, flags)
    }
    this.#rows.push(id, record)
    if (this.#rows.length === ROWS_PER_INSERT * 2) {
      this.#insertMany.run(...this.#rows)
      this.#rows.length = 0
    } else if (isLate && id <= state.indexingTo) this.writeRows()
    return undefined
  }

  /** Whether no record has, or just had, this id, which is not the highest. */
  #isFree(id: number): boolean {
    const { lastId, active, pass, indexingTo } = this.state
    if (!(id > 0) || id === lastId || active.has(id) || pass?.frozen.has(id) === true) return false
    return id > indexingTo || this.#exists.get(id) === undefined
  }

  /** Adds an entry where those around it are, so that a reader finds them in order, and a start after a crash finds it in the same place. */
  #addLate(owner: number, entry: Posting): void {
    const { active, pass, indexedTo, indexingTo, soughtTo } = this.state
    const { id, atMs, peer, flags } = entry
    const isFrozen = pass !== undefined && id <= indexingTo && id > indexedTo && owner > pass.indexedOwner
    if (id > indexingTo) active.add(id, atMs, owner, peer, flags)
    else if (isFrozen) {
      pass.frozen.add(id, atMs, owner, peer, flags)
      const next = pass.owners.findIndex((other, index) => index >= pass.nextOwner && other >= owner)
      if (next < 0) pass.owners.push(owner)
      else if (pass.owners[next] !== owner) pass.owners.splice(next, 0, owner)
    }
    const isIndexed = id <= indexingTo && !isFrozen
    if (isIndexed || id <= soughtTo) this.#late.push({ owner, entry, isIndexed })
  }

  /** What the indexes on disk have to be told since this was asked last. */
  takeLate(): readonly LateEntry[] {
    const late = this.#late
    if (late.length > 0) this.#late = []
    return late
  }

  /** An index that is filled when it is asked for has been filled. */
  sought(): void {
    this.state.soughtTo = this.state.lastId
  }

  /** Takes a mark off the entry of a referenced owner. */
  clearPending(reference: number, id: number, takenAtMs: number): void {
    this.#clear(this.#names.rowOf(reference), id, takenAtMs)
  }

  /** The entries that went with their marks since this was asked last. */
  takeLeft(): readonly (readonly [owner: number, entry: { readonly id: number; readonly peer: number }])[] {
    if (this.#left.length === this.#unlinked) return []
    const left = this.#left.slice(this.#unlinked).map(({ mark: [owner, id], peer }) => [owner, { id, peer }] as const)
    this.#unlinked = this.#left.length
    return left
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
    this.#lateIds.clear()
    this.#late = []
    this.#taken = []
    this.#left = []
    this.#unlinked = 0
  }

  /** The batch was rolled back: what is in memory is no longer what is on disk. */
  fail(): void {
    // An entry of the same batch never came to be, and neither did its mark.
    const isOlder = ([, id]: Mark): boolean => id <= this.#lastIdBefore && !this.#lateIds.has(id)
    this.#retained.push(...[...this.#taken, ...this.#left.map(({ mark }) => mark)].filter(isOlder))
    this.succeed()
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

  /** When an indexed entry's mark was taken off, if it was since. */
  takenAt(owner: number, id: number): number | undefined {
    const { marks, pass } = this.state
    return pass?.marks.get(owner, id) ?? marks.get(owner, id)
  }

  #clear(owner: number, id: number, takenAtMs: number): void {
    const found = this.find(owner, id)
    if (found !== undefined) {
      const [tail, at] = found
      if (!tail.isPending(at)) return
      tail.clearPending(at, takenAtMs)
      if (((tail.flags[at] ?? 0) & FLAG_TRANSIENT) !== 0) {
        tail.remove(at)
        this.#left.push({ mark: [owner, id, takenAtMs], peer: tail.peers[at] ?? 0 })
        return
      }
    } else {
      // Whether an indexed entry is pending is not worth a search here; a mark too many harms nothing.
      if (id > this.state.lastId || this.takenAt(owner, id) !== undefined) return
      this.state.marks.add(owner, id, takenAtMs)
    }
    this.#taken.push([owner, id, takenAtMs])
  }
}
