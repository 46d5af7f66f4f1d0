import type { Database } from './database.ts'

/** How many row numbers' texts are kept at hand for answers. */
const MAX_TEXTS = 50_000

/**
 * Owners and peers as small integers: the references of a batch's dictionary, and the rows of `names` behind them.
 * A row number is remembered only as long as its transaction may stand: `forget` after a rollback.
 */
export class Names {
  readonly #find
  readonly #add
  readonly #read
  readonly #texts = new Map<number, string>()
  /** By reference: the text, and its row once known. */
  #dictionary: string[] = []
  #rows: number[] = []

  constructor(db: Database) {
    this.#find = db.prepare<[string], { id: number }>('SELECT id FROM names WHERE name = ?')
    this.#add = db.prepare('INSERT INTO names (name) VALUES (?)')
    this.#read = db.prepare<[number], { name: string }>('SELECT name FROM names WHERE id = ?')
  }

  /** Takes in what a batch adds to the dictionary. */
  define(first: number, names: readonly string[]): void {
    if (first === 0) {
      this.#dictionary = []
      this.#rows = []
    }
    for (const name of names) {
      this.#dictionary.push(name)
      this.#rows.push(0)
    }
  }

  /** The row of a reference, made when there is none. */
  rowOf(reference: number): number {
    const known = this.#rows[reference] ?? 0
    if (known !== 0) return known
    const name = this.#dictionary[reference] ?? ''
    const row = this.find(name) ?? Number(this.#add.run(name).lastInsertRowid)
    this.#rows[reference] = row
    return row
  }

  find(name: string): number | undefined {
    return this.#find.get(name)?.id
  }

  textOf(row: number): string {
    const known = this.#texts.get(row)
    if (known !== undefined) return known
    const name = this.#read.get(row)?.name ?? ''
    if (this.#texts.size >= MAX_TEXTS) this.#texts.clear()
    this.#texts.set(row, name)
    return name
  }

  /** Forgets what a rolled back transaction may have added. */
  forget(): void {
    this.#rows.fill(0)
    this.#texts.clear()
  }
}
