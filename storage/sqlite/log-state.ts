import type { Database } from './database.ts'
import { ClearedRows, type Mark, Marks } from './marks.ts'
import { Meta } from './meta.ts'
import { idsIn } from './postings.ts'
import { atOf, headerBytesOf, placeCountOf, placeOf } from './record.ts'
import { Tail } from './tail.ts'

/** What of the log is in memory: the entries no index on disk holds yet, and the marks not worked in yet. */
export interface LogState {
  lastId: number
  /** Entries up to here are in the index. */
  indexedTo: number
  /** Those up to here too, of the owners that the pass under way is done with; the same as `indexedTo` when there is none. */
  indexingTo: number
  /** How far behind the highest id others came since the last pass began. */
  lateness: number
  /** No index that is filled when it is asked for goes further than this. */
  soughtTo: number
  active: Tail
  marks: Marks
  pass: Pass | undefined
  hasGarbage: boolean
}

/** An indexing under way, done in slices: first marks, owner by owner, then the frozen tail's entries, owner by owner. */
export interface Pass {
  readonly frozen: Tail
  /** In order. */
  readonly owners: number[]
  nextOwner: number
  /** The last owner that is done. */
  indexedOwner: number
  readonly marks: Marks
  readonly sortedMarks: readonly Mark[]
  nextMark: number
}

export const passOf = (frozen: Tail, marks: Marks, indexedOwner = 0): Pass => ({
  frozen,
  owners: frozen.owners(),
  nextOwner: 0,
  indexedOwner,
  marks,
  sortedMarks: marks.sorted(),
  nextMark: 0,
})

/** As much of a record as holds the places of nearly every one. */
const USUAL_HEADER_BYTES = headerBytesOf(4)

/**
 * Builds the state from what is on disk, after a start or a failed commit. A record names all its places, so the rows above `indexed-to` are the tail;
 * of those up to `indexing-to`, the owners up to `indexed-owner` were done when the last pass stopped.
 */
export const recover = (db: Database): LogState => {
  const meta = new Meta(db)
  const [indexedTo, indexingTo, indexedOwner] = [meta.get('indexed-to'), meta.get('indexing-to'), meta.get('indexed-owner')]
  const [frozen, active, marks] = [new Tail(), new Tail(), new Marks()]
  let lastId = Math.max(meta.get('last-id'), indexedTo, indexingTo)

  const readWhole = db.prepare<[number], { record: Buffer }>('SELECT record FROM log WHERE id = ?')
  const rows = db.prepare<[number, number], { id: number; record: Buffer }>(
    'SELECT id, substr(record, 1, ?) AS record FROM log WHERE id > ? ORDER BY id',
  )
  for (const { id, record: start } of rows.all(USUAL_HEADER_BYTES, indexedTo)) {
    const count = placeCountOf(start)
    const record = headerBytesOf(count) <= start.length ? start : (readWhole.get(id)?.record ?? start)
    for (let index = 0; index < count; index += 1) {
      const { owner, peer, flags } = placeOf(record, index)
      if (id > indexingTo) active.add(id, atOf(record), owner, peer, flags)
      else if (owner > indexedOwner) frozen.add(id, atOf(record), owner, peer, flags)
    }
    if (id > lastId) lastId = id
  }

  const discarded = db.prepare<[], { owner: number; entries: Buffer }>('SELECT owner, entries FROM garbage').all()
  for (const { owner, entries } of discarded) {
    for (const id of idsIn(entries)) hide(owner, id, [frozen, active])
  }
  new ClearedRows(db).forEach((owner, id, takenAtMs) => {
    const tail = [active, frozen].find((each) => each.find(owner, id) >= 0)
    if (tail === undefined) marks.add(owner, id, takenAtMs)
    else if (tail.isPending(tail.find(owner, id))) tail.clearPending(tail.find(owner, id), takenAtMs)
  })
  const isIndexing = indexingTo > indexedTo
  return {
    lastId,
    indexedTo,
    indexingTo: Math.max(indexedTo, indexingTo),
    lateness: 0,
    soughtTo: lastId,
    active,
    marks: isIndexing ? new Marks() : marks,
    pass: isIndexing ? passOf(frozen, marks, indexedOwner) : undefined,
    hasGarbage: discarded.length > 0,
  }
}

const hide = (owner: number, id: number, tails: readonly Tail[]): void => {
  for (const tail of tails) {
    const at = tail.find(owner, id)
    if (at >= 0) tail.remove(at)
  }
}
