import type { Database } from './database.ts'
import type { LogRemover } from './log-remover.ts'
import { type LogState, type Pass, passOf } from './log-state.ts'
import type { LogStore } from './log-store.ts'
import { ClearedRows, type Mark, Marks } from './marks.ts'
import { Meta } from './meta.ts'
import type { Pace } from './pace.ts'
import type { PlaceIndex } from './place-index.ts'
import type { Posting } from './postings.ts'
import { FLAG_PENDING, FLAG_TRANSIENT } from './record.ts'
import { Tail } from './tail.ts'

/**
 * Writes what is in memory about the log to the indexes on disk, in slices between commits, each its own transaction. A pass takes the tail and the marks
 * as they stand when it begins; what comes meanwhile is the next pass's. `meta` says how far it is, so that a crash repeats nothing and skips nothing.
 */
export class Indexing {
  readonly #db: Database
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #remover: LogRemover
  readonly #meta: Meta
  readonly #cleared: ClearedRows
  readonly #addPending
  readonly #deletePending
  readonly #pace: Pace

  constructor(
    db: Database,
    parts: { readonly store: LogStore; readonly index: PlaceIndex; readonly remover: LogRemover; readonly pace: Pace },
  ) {
    this.#db = db
    this.#store = parts.store
    this.#index = parts.index
    this.#remover = parts.remover
    this.#meta = new Meta(db)
    this.#cleared = new ClearedRows(db)
    this.#addPending = db.prepare('INSERT INTO pending (owner, id) VALUES (?, ?)')
    this.#deletePending = db.prepare('DELETE FROM pending WHERE owner = ? AND id = ?')
    this.#pace = parts.pace
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
    if (owner > pass.nextOwner) pass.indexedOwner = pass.owners[owner - 1] ?? 0
    for (; pass.nextOwner < owner; pass.nextOwner += 1) pass.frozen.drop(pass.owners[pass.nextOwner] ?? 0)
    pass.nextMark = mark
    if (!isDone) return
    const { state } = this.#store
    state.pass = undefined
    state.indexedTo = state.indexingTo
  }

  #begin(): Pass {
    const { state } = this.#store
    const { marks } = state
    const [frozen, active] = partsOf(state)
    const indexedTo = this.#meta.get('indexed-to')
    const indexingTo = Math.max(frozen.lastId, indexedTo)
    this.#meta.set('indexing-to', indexingTo)
    this.#meta.set('indexed-owner', 0)
    this.#meta.set('cleared-to', this.#cleared.last())
    const kept = active.marks()
    if (kept.length > 0) this.#cleared.write(kept)
    const pass = passOf(frozen, marks)
    state.active = active
    state.lateness = 0
    state.marks = new Marks()
    state.pass = pass
    state.indexingTo = indexingTo
    return pass
  }

  #sliceOfMarks({ sortedMarks, nextMark }: Pass): number {
    const end = Math.min(nextMark + this.#pace.marksPerSlice, sortedMarks.length)
    for (let at = nextMark; at < end; ) {
      const owner = sortedMarks[at]?.[0] ?? 0
      const from = at
      while (at < end && sortedMarks[at]?.[0] === owner) at += 1
      this.#workIn(owner, sortedMarks.slice(from, at))
    }
    return end
  }

  /** Writes the marks of one owner into the index; an entry that was there only to be delivered goes. */
  #workIn(owner: number, marks: readonly Mark[]): void {
    const find = this.#index.finder(owner)
    const [changes, gone]: [Posting[], number[]] = [[], []]
    for (const [, id, takenAtMs] of marks) {
      if (this.#deletePending.run(owner, id).changes === 0) continue
      const entry = find(id)
      if (entry === undefined) continue
      if ((entry.flags & FLAG_TRANSIENT) !== 0) gone.push(id)
      else changes.push({ ...entry, flags: entry.flags & ~FLAG_PENDING, takenAtMs })
    }
    this.#index.rewrite(owner, changes)
    for (const id of gone) this.#remover.removeIndexed(owner, id)
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
    if (found.length === 0) return 0
    for (const at of found) if (tail.isPending(at)) this.#addPending.run(owner, tail.ids[at])
    this.#index.add(owner, tail.pack(found))
    return found.length
  }
}

/**
 * What a pass takes, and what stays: where entries come behind higher ids, the newest wait for those that are still to come between them, since to put these into the index
 * one by one is dear. So late that most would have to wait, they come one by one.
 */
const partsOf = ({ active, lateness }: LogState): readonly [frozen: Tail, active: Tail] => {
  if (lateness > 0) {
    const [frozen, behind] = active.split(active.lastId - 2 * lateness)
    if (frozen.length > behind.length) return [frozen, behind]
  }
  return [active, new Tail()]
}
