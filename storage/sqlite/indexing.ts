import type { Database } from './database.ts'
import { type Pass, passOf } from './log-state.ts'
import type { LogStore } from './log-store.ts'
import { ClearedRows, Marks } from './marks.ts'
import { Meta } from './meta.ts'
import type { IndexEntry, PlaceIndex } from './place-index.ts'
import { Tail } from './tail.ts'

/** When a pass begins, and how much of it is done at once. Tests make all of it small. */
export interface Pace {
  /** The more, the more of an owner's entries lie together; a start after a crash reads as many back. */
  readonly entriesPerPass: number
  readonly marksPerPass: number
  /** What one slice takes holds up the next commit. */
  readonly ownersPerSlice: number
  readonly entriesPerSlice: number
  readonly marksPerSlice: number
}

/** Slices of some 5 ms. */
const USUAL_PACE: Pace = {
  entriesPerPass: 40_000,
  marksPerPass: 20_000,
  ownersPerSlice: 400,
  entriesPerSlice: 4000,
  marksPerSlice: 2000,
}

/**
 * Writes what is in memory about the log to the indexes on disk, in slices between commits, each its own transaction. A pass takes the tail and the marks
 * as they stand when it begins; what comes meanwhile is the next pass's. `meta` says how far it is, so that a crash repeats nothing and skips nothing.
 */
export class Indexing {
  readonly #db: Database
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #meta: Meta
  readonly #cleared: ClearedRows
  readonly #addPending
  readonly #deletePending
  readonly #pace: Pace

  constructor(db: Database, store: LogStore, index: PlaceIndex, pace: Pace = USUAL_PACE) {
    this.#db = db
    this.#store = store
    this.#index = index
    this.#meta = new Meta(db)
    this.#cleared = new ClearedRows(db)
    this.#addPending = db.prepare('INSERT INTO pending (owner, id) VALUES (?, ?)')
    this.#deletePending = db.prepare('DELETE FROM pending WHERE owner = ? AND id = ?')
    this.#pace = pace
  }

  /** Whether there is a slice's work. */
  get isDue(): boolean {
    const { pass, active, marks } = this.#store.state
    return pass !== undefined || active.length >= this.#pace.entriesPerPass || marks.size >= this.#pace.marksPerPass
  }

  /** Whether anything in memory is not on disk. */
  get isBehind(): boolean {
    const { pass, active, marks } = this.#store.state
    return pass !== undefined || active.length > 0 || marks.size > 0
  }

  /** Does one slice, beginning a pass when none is under way. */
  step(): void {
    this.#db.exec('BEGIN IMMEDIATE')
    const pass = this.#store.state.pass ?? this.#begin()
    const [mark, owner] = [this.#sliceOfMarks(pass), this.#sliceOfOwners(pass)]
    const isDone = mark === pass.sortedMarks.length && owner === pass.owners.length
    if (isDone) {
      this.#cleared.dropTo(this.#meta.get('cleared-to'))
      this.#meta.set('indexed-to', this.#meta.get('indexing-to'))
    } else if (owner > pass.nextOwner) {
      this.#meta.set('indexed-owner', pass.owners[owner - 1] ?? 0)
    }
    this.#db.exec('COMMIT')
    for (; pass.nextOwner < owner; pass.nextOwner += 1) pass.frozen.drop(pass.owners[pass.nextOwner] ?? 0)
    pass.nextMark = mark
    if (isDone) this.#store.state.pass = undefined
  }

  #begin(): Pass {
    const { state } = this.#store
    const { active, marks } = state
    const indexedTo = this.#meta.get('indexed-to')
    this.#meta.set('indexing-to', Math.max(active.lastId, indexedTo))
    this.#meta.set('indexed-owner', 0)
    this.#meta.set('cleared-to', this.#cleared.last())
    const pass = passOf(active, marks)
    state.active = new Tail()
    state.marks = new Marks()
    state.pass = pass
    return pass
  }

  #sliceOfMarks({ sortedMarks, nextMark }: Pass): number {
    const end = Math.min(nextMark + this.#pace.marksPerSlice, sortedMarks.length)
    for (const [owner, id] of sortedMarks.slice(nextMark, end)) this.#deletePending.run(owner, id)
    return end
  }

  #sliceOfOwners({ frozen, owners, nextOwner, sortedMarks, nextMark }: Pass): number {
    if (nextMark < sortedMarks.length) return nextOwner
    let entries = 0
    let next = nextOwner
    while (next < owners.length && next - nextOwner < this.#pace.ownersPerSlice && entries < this.#pace.entriesPerSlice) {
      entries += this.#indexOwner(frozen, owners[next] ?? 0)
      next += 1
    }
    return next
  }

  #indexOwner(tail: Tail, owner: number): number {
    const found = tail.entriesOf(owner)
    const entries: IndexEntry[] = []
    for (const at of found) {
      const id = tail.ids[at] ?? 0
      entries.push({ id, atMs: tail.times[at] ?? 0, peer: tail.peers[at] ?? 0 })
      if (tail.isPending(at)) this.#addPending.run(owner, id)
    }
    this.#index.add(owner, entries)
    return entries.length
  }
}
