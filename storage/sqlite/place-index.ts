import type { Database } from './database.ts'

/** An entry of the index: what a page is chosen by. */
export interface IndexEntry {
  readonly id: number
  readonly atMs: number
  readonly peer: number
}

/** What a page asks of an entry; both ids are excluded, both times included. */
export interface Window {
  readonly after: number
  readonly before: number
  readonly fromMs: number
  readonly untilMs: number
  readonly peer: number | undefined
}

export const isInside = (
  { after, before, fromMs, untilMs, peer }: Window,
  id: number,
  atMs: number,
  entryPeer: number,
): boolean => id > after && id < before && atMs >= fromMs && atMs <= untilMs && (peer === undefined || peer === entryPeer)

/** f64 id | f64 atMs | u32 peer, little endian. */
export const ENTRY_BYTES = 20
/** What still lies in one piece on a page of 4 KiB beside three others (a cell above a quarter of it spills over). */
export const ENTRIES_PER_ROW = 45
const ROW_BYTES = ENTRY_BYTES * ENTRIES_PER_ROW

interface Row {
  readonly first: number
  readonly entries: Buffer
}

/**
 * The index of the log by owner: postings, some dozens of entries to a row, in the order of their ids. One structure answers pages by id, by time and
 * by peer, and takes a twentieth of the writes and a quarter of the room of one B-tree cell per entry and index.
 * A row's `first` is a lower bound of its ids, and stays when that entry goes.
 */
export class PlaceIndex {
  readonly #extend
  readonly #insert
  readonly #around
  readonly #forwards
  readonly #backwards
  readonly #replace
  readonly #delete
  readonly #discard
  readonly #deleteOwner

  constructor(db: Database) {
    const lastRow = '(SELECT max(first) FROM places WHERE owner = :owner)'
    this.#extend = db.prepare<[{ owner: number; fromMs: number; untilMs: number; entries: Buffer; room: number }]>(
      `UPDATE places SET entries = CAST(entries || :entries AS BLOB), from_ms = min(from_ms, :fromMs), until_ms = max(until_ms, :untilMs)
       WHERE owner = :owner AND first = ${lastRow} AND length(entries) <= :room`,
    )
    this.#insert = db.prepare('INSERT INTO places (owner, first, from_ms, until_ms, entries) VALUES (?, ?, ?, ?, ?)')
    this.#around = db.prepare<[number, number], Row>(
      'SELECT first, entries FROM places WHERE owner = ? AND first <= ? ORDER BY first DESC LIMIT 1',
    )
    this.#forwards = db.prepare<[{ owner: number; after: number; before: number; fromMs: number; untilMs: number }], Row>(
      `SELECT first, entries FROM places WHERE owner = :owner
       AND first >= coalesce((SELECT max(first) FROM places WHERE owner = :owner AND first <= :after), 0) AND first < :before
       AND until_ms >= :fromMs AND from_ms <= :untilMs ORDER BY first`,
    )
    this.#backwards = db.prepare<[{ owner: number; after: number; before: number; fromMs: number; untilMs: number }], Row>(
      `SELECT first, entries FROM places WHERE owner = :owner
       AND first >= coalesce((SELECT max(first) FROM places WHERE owner = :owner AND first <= :after), 0) AND first < :before
       AND until_ms >= :fromMs AND from_ms <= :untilMs ORDER BY first DESC`,
    )
    this.#replace = db.prepare('UPDATE places SET entries = ? WHERE owner = ? AND first = ?')
    this.#delete = db.prepare('DELETE FROM places WHERE owner = ? AND first = ?')
    this.#discard = db.prepare('INSERT INTO garbage (owner, entries) SELECT owner, entries FROM places WHERE owner = ?')
    this.#deleteOwner = db.prepare('DELETE FROM places WHERE owner = ?')
  }

  /** Adds an owner's entries, all newer than what it has. */
  add(owner: number, entries: readonly IndexEntry[]): void {
    for (let from = 0; from < entries.length; from += ENTRIES_PER_ROW) {
      const part = entries.slice(from, from + ENTRIES_PER_ROW)
      const [first] = part
      if (first === undefined) return
      let [fromMs, untilMs] = [first.atMs, first.atMs]
      for (const { atMs } of part) {
        if (atMs < fromMs) fromMs = atMs
        if (atMs > untilMs) untilMs = atMs
      }
      const packed = packEntries(part)
      const { changes } = this.#extend.run({ owner, fromMs, untilMs, entries: packed, room: ROW_BYTES - packed.length })
      if (changes === 0) this.#insert.run(owner, first.id, fromMs, untilMs, packed)
    }
  }

  has(owner: number, id: number): boolean {
    const row = this.#around.get(owner, id)
    return row !== undefined && positionOf(row.entries, id) >= 0
  }

  /** Shows the entries inside the window to a visitor until it has enough and says `false`. */
  visit(owner: number, window: Window, isBackwards: boolean, visitor: (id: number, atMs: number) => boolean): void {
    const { after, before, fromMs, untilMs } = window
    const rows = isBackwards ? this.#backwards : this.#forwards
    for (const { entries } of rows.iterate({ owner, after, before, fromMs, untilMs })) {
      const count = entries.length / ENTRY_BYTES
      for (let step = 0; step < count; step += 1) {
        const at = (isBackwards ? count - 1 - step : step) * ENTRY_BYTES
        const [id, atMs] = [entries.readDoubleLE(at), entries.readDoubleLE(at + 8)]
        if (isInside(window, id, atMs, entries.readUInt32LE(at + 16)) && !visitor(id, atMs)) return
      }
    }
  }

  /** Takes one entry out; `false` when the owner has none of this id here. */
  remove(owner: number, id: number): boolean {
    const row = this.#around.get(owner, id)
    const at = row === undefined ? -1 : positionOf(row.entries, id)
    if (row === undefined || at < 0) return false
    const { first, entries } = row
    if (entries.length === ENTRY_BYTES) this.#delete.run(owner, first)
    else this.#replace.run(Buffer.concat([entries.subarray(0, at), entries.subarray(at + ENTRY_BYTES)]), owner, first)
    return true
  }

  /** Moves all of an owner's entries to the garbage, whose records are cleaned later; tells whether there were any. */
  discard(owner: number): boolean {
    if (this.#discard.run(owner).changes === 0) return false
    this.#deleteOwner.run(owner)
    return true
  }
}

export const packEntries = (entries: readonly IndexEntry[]): Buffer => {
  const packed = Buffer.allocUnsafe(entries.length * ENTRY_BYTES)
  let at = 0
  for (const { id, atMs, peer } of entries) {
    packed.writeDoubleLE(id, at)
    packed.writeDoubleLE(atMs, at + 8)
    packed.writeUInt32LE(peer, at + 16)
    at += ENTRY_BYTES
  }
  return packed
}

/** The ids of packed entries. */
export const idsIn = (entries: Buffer): number[] => {
  const ids: number[] = []
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) ids.push(entries.readDoubleLE(at))
  return ids
}

const positionOf = (entries: Buffer, id: number): number => {
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    if (entries.readDoubleLE(at) === id) return at
  }
  return -1
}
