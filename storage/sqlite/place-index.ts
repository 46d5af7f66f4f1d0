import type { Database } from './database.ts'
import {
  isInside,
  POSTING_BYTES,
  type Posting,
  packed,
  positionOf,
  postingAt,
  rewritePosting,
  timeAt,
  type Visitor,
  visitPosting,
  type Window,
} from './postings.ts'

/** What still lies in one piece on a page of 4 KiB beside three others (a cell above a quarter of it spills over). */
export const ENTRIES_PER_ROW = 33
const ROW_BYTES = ENTRIES_PER_ROW * POSTING_BYTES

interface Row {
  readonly first: number
  readonly entries: Buffer
}

interface Times {
  readonly highMs: number
  readonly skewMs: number
}

interface Head extends Times {
  readonly first: number
}

/**
 * The index of the log by owner: postings, some dozens of entries to a row, in the order of their ids. One structure answers pages by id and by time, and
 * takes a twentieth of the writes and a third of the room of one B-tree cell per entry and index.
 * A row's `first` is a lower bound of its ids, and stays when that entry goes. `high_ms` is the latest time so far, and `skew_ms` how far the clock has
 * ever been behind that: so rows of a time are found by halving, though clocks are set back.
 */
export class PlaceIndex {
  readonly #last
  readonly #extend
  readonly #insert
  readonly #around
  readonly #behind
  readonly #forwards
  readonly #backwards
  readonly #replace
  readonly #delete
  readonly #discard
  readonly #deleteOwner
  readonly #raise
  readonly #widen
  readonly #renumber

  constructor(db: Database) {
    this.#last = db.prepare<[number], Head & { bytes: number }>(
      `SELECT first, high_ms AS highMs, skew_ms AS skewMs, length(entries) AS bytes FROM places
       WHERE owner = ? ORDER BY first DESC LIMIT 1`,
    )
    this.#extend = db.prepare<[Buffer, number, number, number, number]>(
      'UPDATE places SET entries = CAST(entries || ? AS BLOB), high_ms = ?, skew_ms = ? WHERE owner = ? AND first = ?',
    )
    this.#insert = db.prepare('INSERT INTO places (owner, first, high_ms, skew_ms, entries) VALUES (?, ?, ?, ?, ?)')
    this.#around = db.prepare<[number, number], Row & Head>(
      `SELECT first, high_ms AS highMs, skew_ms AS skewMs, entries FROM places
       WHERE owner = ? AND first <= ? ORDER BY first DESC LIMIT 1`,
    )
    this.#behind = db.prepare<[number, number], { first: number }>(
      'SELECT first FROM places WHERE owner = ? AND first > ? ORDER BY first LIMIT 1',
    )
    const rows = `SELECT first, entries FROM places WHERE owner = :owner
      AND first >= coalesce((SELECT max(first) FROM places WHERE owner = :owner AND first <= :after), 0) AND first < :before`
    this.#forwards = db.prepare<[{ owner: number; after: number; before: number }], Row>(`${rows} ORDER BY first`)
    this.#backwards = db.prepare<[{ owner: number; after: number; before: number }], Row>(`${rows} ORDER BY first DESC`)
    this.#replace = db.prepare('UPDATE places SET entries = ? WHERE owner = ? AND first = ?')
    this.#delete = db.prepare('DELETE FROM places WHERE owner = ? AND first = ?')
    this.#discard = db.prepare('INSERT INTO garbage (owner, entries) SELECT owner, entries FROM places WHERE owner = ?')
    this.#deleteOwner = db.prepare('DELETE FROM places WHERE owner = ?')
    this.#raise = db.prepare('UPDATE places SET high_ms = :highMs WHERE owner = :owner AND first >= :first AND high_ms < :highMs')
    this.#widen = db.prepare('UPDATE places SET skew_ms = max(skew_ms, ?) WHERE owner = ? AND first = ?')
    this.#renumber = db.prepare('UPDATE places SET first = ? WHERE owner = ? AND first = ?')
  }

  /** Adds an owner's packed entries, all newer than what it has. */
  add(owner: number, packed: Buffer): void {
    const last = this.#last.get(owner)
    let times: Times = { highMs: last?.highMs ?? Number.NEGATIVE_INFINITY, skewMs: last?.skewMs ?? 0 }
    let room = last === undefined ? 0 : ROW_BYTES - last.bytes
    for (let from = 0; from < packed.length; ) {
      const isExtending = from === 0 && room > 0
      const part = packed.subarray(from, from + (isExtending ? room : ROW_BYTES))
      times = timesOf(part, times)
      if (isExtending && last !== undefined) this.#extend.run(part, times.highMs, times.skewMs, owner, last.first)
      else this.#insert.run(owner, part.readDoubleLE(0), times.highMs, times.skewMs, part)
      from += part.length
      room = 0
    }
  }

  /** Adds an entry that is not newer than all that its owner has: where its id belongs. */
  insert(owner: number, entry: Posting): void {
    const { id } = entry
    const last = this.#last.get(owner)
    const row = this.#around.get(owner, id) ?? this.#reachingTo(owner, id)
    if (row === undefined || last === undefined) return this.add(owner, packed(entry))
    const { first, highMs } = row
    let at = 0
    while (at < row.entries.length && row.entries.readDoubleLE(at) < id) at += POSTING_BYTES
    const entries = Buffer.concat([row.entries.subarray(0, at), packed(entry), row.entries.subarray(at)])
    const before = { highMs: this.#highBefore(owner, first), skewMs: last.skewMs }
    const times = timesOf(entries, before)
    // What follows was never further behind `highMs` than the skew, and is now by as much more as that has grown.
    this.#widen.run(Math.max(times.skewMs, last.skewMs + times.highMs - highMs), owner, last.first)
    this.#raise.run({ highMs: times.highMs, owner, first })
    if (entries.length <= ROW_BYTES) this.#replace.run(entries, owner, first)
    else this.#split(owner, first, entries, before)
  }

  #highBefore(owner: number, first: number): number {
    return this.#around.get(owner, first - 1)?.highMs ?? Number.NEGATIVE_INFINITY
  }

  /** The first row, which then begins with this id. */
  #reachingTo(owner: number, id: number): (Row & Head) | undefined {
    const first = this.#behind.get(owner, id)?.first
    if (first === undefined) return undefined
    this.#renumber.run(id, owner, first)
    return this.#around.get(owner, id)
  }

  #split(owner: number, first: number, entries: Buffer, before: Times): void {
    const row = this.#around.get(owner, first)
    if (row === undefined) return
    const half = (ENTRIES_PER_ROW >> 1) * POSTING_BYTES
    const [head, rest] = [entries.subarray(0, half), entries.subarray(half)]
    this.#delete.run(owner, first)
    this.#insert.run(owner, first, timesOf(head, before).highMs, row.skewMs, head)
    this.#insert.run(owner, rest.readDoubleLE(0), row.highMs, row.skewMs, rest)
  }

  /** The owner's entry of this id. */
  find(owner: number, id: number): Posting | undefined {
    return this.finder(owner)(id)
  }

  /** Finds entries of one owner, cheaply those that are near each other; only as long as nothing is written. */
  finder(owner: number): (id: number) => Posting | undefined {
    let row: Row | undefined
    return (id) => {
      if (row === undefined || id < row.first || id > lastOf(row)) row = this.#around.get(owner, id)
      const at = row === undefined ? -1 : positionOf(row.entries, id)
      return row === undefined || at < 0 ? undefined : postingAt(row.entries, at)
    }
  }

  /**
   * Shows the entries inside the window to a visitor until it has enough and says `false`. After so many steps it stops and tells where to go on:
   * behind this id, or backwards before it.
   */
  visit(owner: number, window: Window, isBackwards: boolean, steps: number, visitor: Visitor): number | undefined {
    const { after, before } = this.#narrow(owner, window)
    const visitInside: Visitor = (id, atMs, peer, flags, takenAtMs) =>
      !isInside(window, id, atMs, peer, flags) || visitor(id, atMs, peer, flags, takenAtMs)
    let left = steps
    for (const { entries } of (isBackwards ? this.#backwards : this.#forwards).iterate({ owner, after, before })) {
      if (left <= 0) return entries.readDoubleLE(isBackwards ? entries.length - POSTING_BYTES : 0) + (isBackwards ? 1 : -1)
      const count = entries.length / POSTING_BYTES
      for (let step = 0; step < count; step += 1) {
        if (!visitPosting(entries, (isBackwards ? count - 1 - step : step) * POSTING_BYTES, visitInside)) return undefined
      }
      // The first row may be there only because the one behind it begins later.
      if (isBackwards || entries.readDoubleLE(entries.length - POSTING_BYTES) > after) left -= count
    }
    return undefined
  }

  /** Turns the times of a window into ids, roughly: outside of these there is nothing inside it. */
  #narrow(owner: number, { after, before, fromMs, untilMs }: Window): { readonly after: number; readonly before: number } {
    if (fromMs === Number.NEGATIVE_INFINITY && untilMs === Number.POSITIVE_INFINITY) return { after, before }
    const last = this.#last.get(owner)
    const first = this.#behind.get(owner, Number.NEGATIVE_INFINITY)?.first
    if (last === undefined || first === undefined) return { after, before }
    const from = this.#firstRow(owner, first, last, (highMs) => highMs >= fromMs)
    const until = this.#firstRow(owner, first, last, (highMs) => highMs - last.skewMs > untilMs)
    // What comes behind the first row that has anything late enough to be too late for all that follow it is too late.
    const end = until === undefined ? undefined : this.#behind.get(owner, until)?.first
    return { after: Math.max(after, (from ?? last.first) - 1), before: Math.min(before, end ?? before) }
  }

  /** The first row whose `high_ms`, which only grows, is as wanted. */
  #firstRow(owner: number, first: number, last: Head, isWanted: (highMs: number) => boolean): number | undefined {
    if (!isWanted(last.highMs)) return undefined
    let [low, high] = [first, last.first]
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2)
      const row = this.#around.get(owner, middle)
      if (row !== undefined && isWanted(row.highMs)) high = row.first
      else low = this.#behind.get(owner, middle)?.first ?? high
    }
    return low
  }

  /** Takes one entry out; `false` when the owner has none of this id here. */
  remove(owner: number, id: number): boolean {
    const row = this.#around.get(owner, id)
    const at = row === undefined ? -1 : positionOf(row.entries, id)
    if (row === undefined || at < 0) return false
    const { first, entries } = row
    if (entries.length === POSTING_BYTES) this.#delete.run(owner, first)
    else this.#replace.run(Buffer.concat([entries.subarray(0, at), entries.subarray(at + POSTING_BYTES)]), owner, first)
    return true
  }

  /** Gives entries of one owner, in the order of their ids, other flags and another time; those next to each other in one write. */
  rewrite(owner: number, changes: readonly Pick<Posting, 'id' | 'flags' | 'takenAtMs'>[]): void {
    let row: Row | undefined
    const write = (): void => {
      if (row !== undefined) this.#replace.run(row.entries, owner, row.first)
    }
    for (const { id, flags, takenAtMs } of changes) {
      if (row === undefined || id > lastOf(row)) {
        write()
        row = this.#around.get(owner, id)
      }
      const at = row === undefined ? -1 : positionOf(row.entries, id)
      if (row !== undefined && at >= 0) rewritePosting(row.entries, at, flags, takenAtMs)
    }
    write()
  }

  /** Moves all of an owner's entries to the garbage, whose records are cleaned later; tells whether there were any. */
  discard(owner: number): boolean {
    if (this.#discard.run(owner).changes === 0) return false
    this.#deleteOwner.run(owner)
    return true
  }
}

/** What the times of a row are when it follows these. */
const timesOf = (entries: Buffer, before: Times): Times => {
  let { highMs, skewMs } = before
  for (let at = 0; at < entries.length; at += POSTING_BYTES) {
    const atMs = timeAt(entries, at)
    if (atMs > highMs) highMs = atMs
    else if (highMs - atMs > skewMs) skewMs = highMs - atMs
  }
  return { highMs, skewMs }
}

const lastOf = ({ entries }: Row): number => entries.readDoubleLE(entries.length - POSTING_BYTES)
