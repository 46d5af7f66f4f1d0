import type { Database } from './database.ts'

/** Pending marks that were taken off: ids by owner. */
export class Marks {
  readonly #owners = new Map<number, Set<number>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(owner: number, id: number): void {
    const ids = this.#owners.get(owner) ?? new Set()
    if (ids.size === 0) this.#owners.set(owner, ids)
    if (ids.has(id)) return
    ids.add(id)
    this.#size += 1
  }

  has(owner: number, id: number): boolean {
    return this.#owners.get(owner)?.has(id) ?? false
  }

  of(owner: number): Iterable<number> {
    return this.#owners.get(owner) ?? []
  }

  /** Every mark, by owner and then id, as an index wants them. */
  sorted(): (readonly [owner: number, id: number])[] {
    return [...this.#owners]
      .sort(([a], [b]) => a - b)
      .flatMap(([owner, ids]) => [...ids].sort((a, b) => a - b).map((id) => [owner, id] as const))
  }
}

/** f64 id | u32 owner, little endian. */
const MARK_BYTES = 12

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

  write(marks: readonly (readonly [owner: number, id: number, takenAtMs: number])[]): void {
    const packed = Buffer.allocUnsafe(marks.length * MARK_BYTES)
    let at = 0
    for (const [owner, id] of marks) {
      packed.writeDoubleLE(id, at)
      packed.writeUInt32LE(owner, at + 8)
      at += MARK_BYTES
    }
    this.#insert.run(packed)
  }

  forEach(visitor: (owner: number, id: number) => void): void {
    for (const { marks } of this.#rows.iterate()) {
      for (let at = 0; at < marks.length; at += MARK_BYTES) visitor(marks.readUInt32LE(at + 8), marks.readDoubleLE(at))
    }
  }

  last(): number {
    return this.#last.get()?.n ?? 0
  }

  dropTo(n: number): void {
    this.#dropTo.run(n)
  }
}
