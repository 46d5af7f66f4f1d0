import type { Database } from './database.ts'
import { Progress } from './progress.ts'

/** An entry whose text is to be found by its words. */
export interface Text {
  readonly id: number
  readonly words: readonly string[]
}

/**
 * The words of an owner's texts, in SQLite's full-text index: filled for an owner when it searches. Each word has its owner in front, so that what is
 * looked through is that owner's alone. Its rows are numbered by `texts`, in the order of the owner's ids; every entry up to `progress` has a number.
 */
export class WordIndex {
  readonly progress: Progress
  readonly #number
  readonly #numberOf
  readonly #upTo
  readonly #idOf
  readonly #forget
  readonly #put
  readonly #delete
  readonly #forwards
  readonly #backwards

  constructor(db: Database) {
    this.progress = new Progress(db, 'words_to')
    this.#number = db.prepare<[number, number], { n: number }>('INSERT INTO texts (owner, id) VALUES (?, ?) RETURNING n')
    this.#numberOf = db.prepare<[number, number], { n: number }>('SELECT n FROM texts WHERE owner = ? AND id = ?')
    this.#upTo = db.prepare<[number, number], { n: number }>(
      'SELECT n FROM texts WHERE owner = ? AND id <= ? ORDER BY id DESC LIMIT 1',
    )
    this.#idOf = db.prepare<[number], { id: number }>('SELECT id FROM texts WHERE n = ?')
    this.#forget = db.prepare('DELETE FROM texts WHERE n = ?')
    this.#put = db.prepare('INSERT OR REPLACE INTO words (rowid, text) VALUES (?, ?)')
    this.#delete = db.prepare('DELETE FROM words WHERE rowid = ?')
    const found = 'SELECT rowid AS n FROM words WHERE words MATCH ? AND rowid > ? AND rowid <= ? ORDER BY rowid'
    this.#forwards = db.prepare<[string, number, number], { n: number }>(found)
    this.#backwards = db.prepare<[string, number, number], { n: number }>(`${found} DESC`)
  }

  /** Adds an owner's next entries, the oldest first. */
  add(owner: number, texts: readonly Text[]): void {
    for (const { id, words } of texts) {
      const n = this.#number.get(owner, id)?.n
      if (n !== undefined && words.length > 0) this.#put.run(n, textOf(owner, words))
    }
    const last = texts.at(-1)
    if (last !== undefined) this.progress.set(owner, last.id)
  }

  /** Shows the ids between these two whose texts have words that begin so to a visitor, until it has enough and says `false`. */
  visit(
    owner: number,
    beginnings: readonly string[],
    { after, before }: { readonly after: number; readonly before: number },
    isBackwards: boolean,
    visitor: (id: number) => boolean,
  ): void {
    // Nothing but letters, digits and marks is in a word, so the quotes hold.
    const query = beginnings.map((word) => `"${tokenOf(owner, word)}"*`).join(' AND ')
    const first = this.#upTo.get(owner, after)?.n ?? 0
    const last = this.#upTo.get(owner, before)?.n ?? 0
    for (const { n } of (isBackwards ? this.#backwards : this.#forwards).iterate(query, first, last)) {
      const id = this.#idOf.get(n)?.id
      if (id !== undefined && id > after && id < before && !visitor(id)) return
    }
  }

  /** Gives an entry other words, if it is here. */
  replace(owner: number, { id, words }: Text): void {
    const n = this.#numberOf.get(owner, id)?.n
    if (n === undefined) return
    if (words.length === 0) this.#delete.run(n)
    else this.#put.run(n, textOf(owner, words))
  }

  /** Takes an entry out, if it is here. */
  remove(owner: number, id: number): void {
    const n = this.#numberOf.get(owner, id)?.n
    if (n === undefined) return
    this.#delete.run(n)
    this.#forget.run(n)
  }
}

/** The tokenizer splits at no letter, digit or mark: all others than ASCII's are of a word to it. */
const tokenOf = (owner: number, word: string): string => `${owner}x${word}`

const textOf = (owner: number, words: readonly string[]): string => words.map((word) => tokenOf(owner, word)).join(' ')
