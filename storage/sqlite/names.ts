import type { Database } from './database.ts'
import type { BatchMessage } from './protocol.ts'

/** How many row numbers' texts are kept at hand for answers. */
const MAX_TEXTS = 50_000

/** What the references in the batches of one channel stand for. */
export class References {
  readonly texts: string[] = []
  /** The row of each, 0 while it is not known. */
  readonly rows: number[] = []
  /** Which rollback they have heard of. */
  age = 0
}

/**
 * Owners and peers as small integers: the references of a batch's dictionary, and the rows of `names` behind them.
 * A row number is remembered only as long as its transaction may stand: `forget` after a rollback.
 */
export class Names {
  readonly #find
  readonly #add
  readonly #read
  readonly #texts = new Map<number, string>()
  /** Of the batch that is carried out. */
  #references = new References()
  #age = 0

  constructor(db: Database) {
    this.#find = db.prepare<[string], { id: number }>('SELECT id FROM names WHERE name = ?')
    this.#add = db.prepare('INSERT INTO names (name) VALUES (?)')
    this.#read = db.prepare<[number], { name: string }>('SELECT name FROM names WHERE id = ?')
  }

  /** Takes in what a batch adds to the dictionary of its channel; a second time for a batch that is tried again. */
  use(references: References, { firstName, names }: Pick<BatchMessage, 'firstName' | 'names'>): void {
    const { texts, rows } = references
    if (references.age !== this.#age) rows.fill(0)
    references.age = this.#age
    this.#references = references
    texts.length = firstName
    rows.length = firstName
    for (const name of names) {
      texts.push(name)
      rows.push(0)
    }
  }

  /** The row of a reference, made when there is none. */
  rowOf(reference: number): number {
    const { texts, rows } = this.#references
    const known = rows[reference] ?? 0
    if (known !== 0) return known
    const name = texts[reference] ?? ''
    const row = this.find(name) ?? Number(this.#add.run(name).lastInsertRowid)
    rows[reference] = row
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
    this.#age += 1
    this.#references.rows.fill(0)
    this.#references.age = this.#age
    this.#texts.clear()
  }
}
