import type { Database } from './database.ts'

/** A pending mark that was taken off an owner's entry, and when. */
export type Mark = readonly [owner: number, id: number, takenAtMs: number]

/** Pending marks that were taken off: times by id by owner. The first time counts. */
export class Marks {
  readonly #owners = new Map<number, Map<number, number>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(owner: number, id: number, takenAtMs: number): void {
    const times = this.#owners.get(owner) ?? new Map()
    if (times.size === 0) this.#owners.set(owner, times)
    if (times.has(id)) return
    times.set(id, takenAtMs)
    this.#size += 1
  }

  /** When the mark was taken off; `undefined` when it was not. */
  get(owner: number, id: number): number | undefined {
    return this.#owners.get(owner)?.get(id)
  }

  of(owner: number): Iterable<number> {
    return this.#owners.get(owner)?.keys() ?? []
  }

  /** Every mark, by owner and then id, as an index wants them. */
  sorted(): Mark[] {
    return [...this.#owners]
      .sort(([a], [b]) => a - b)
      .flatMap(([owner, times]) => [...times].sort(([a], [b]) => a - b).map(([id, atMs]) => [owner, id, atMs] as const))
  }
}

/** f64 id | u32 owner | f64 takenAtMs, little endian. */
const MARK_BYTES = 20

/** The rows of `cleared`: one a commit, so that taking a mark off costs no search on disk. */
export class ClearedRows {
  readonly #insert
  readonly #rows
  readonly #last
  readonly #dropTo

  constructor(db: Database) {
    this.#insert = db.prepare('INSERT INTO cleared (marks) VALUES (?)')
    this.#rows = db.prepare<[], { marks: Buffer }>('SELECT marks FROM cleared ORDER BY n')
    this.#last = db.prepare<[], { n: number }>('SELECT coalesce(max(n), 0) AS n FROM cleared')
    this.#dropTo = db.prepare('DELETE FROM cleared WHERE n <= ?')
  }

  write(marks: readonly Mark[]): void {
    const packed = Buffer.allocUnsafe(marks.length * MARK_BYTES)
    let at = 0
    for (const [owner, id, takenAtMs] of marks) {
      packed.writeDoubleLE(id, at)
      packed.writeUInt32LE(owner, at + 8)
      packed.writeDoubleLE(takenAtMs, at + 12)
      at += MARK_BYTES
    }
    this.#insert.run(packed)
  }

  forEach(visitor: (...mark: Mark) => void): void {
    for (const { marks } of this.#rows.iterate()) {
      for (let at = 0; at < marks.length; at += MARK_BYTES)
        visitor(marks.readUInt32LE(at + 8), marks.readDoubleLE(at), marks.readDoubleLE(at + 12))
    }
  }

  last(): number {
    return this.#last.get()?.n ?? 0
  }

  dropTo(n: number): void {
    this.#dropTo.run(n)
  }
}
