import type { Database } from './database.ts'

type Key =
  | 'checked'
  /** The highest id, when its record is gone. */
  | 'last-id'
  /** Every record up to this id is in the indexes. */
  | 'indexed-to'
  /** While records are being indexed: the last of them, and the last owner that is done. */
  | 'indexing-to'
  | 'indexed-owner'
  /** The last row of `cleared` that the pass under way works in. */
  | 'cleared-to'

/** The database's numbers about itself. */
export class Meta {
  readonly #get
  readonly #set

  constructor(db: Database) {
    this.#get = db.prepare<[Key], { value: number }>('SELECT value FROM meta WHERE key = ?')
    this.#set = db.prepare<[number, Key]>('UPDATE meta SET value = ? WHERE key = ?')
  }

  get(key: Key): number {
    return this.#get.get(key)?.value ?? 0
  }

  set(key: Key, value: number): void {
    this.#set.run(value, key)
  }
}
