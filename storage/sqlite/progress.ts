import type { Database } from './database.ts'

/** How far the indexes of an owner that are filled when they are asked for go: up to these ids. */
export class Progress {
  readonly #get
  readonly #set
  readonly #delete

  constructor(db: Database, column: 'peers_to' | 'words_to') {
    this.#get = db.prepare<[number], { id: number }>(`SELECT ${column} AS id FROM progress WHERE owner = ?`)
    this.#set = db.prepare(
      `INSERT INTO progress (owner, ${column}) VALUES (?, ?) ON CONFLICT DO UPDATE SET ${column} = excluded.${column}`,
    )
    this.#delete = db.prepare('DELETE FROM progress WHERE owner = ?')
  }

  /** 0 for an owner that never asked. */
  of(owner: number): number {
    return this.#get.get(owner)?.id ?? 0
  }

  set(owner: number, id: number): void {
    this.#set.run(owner, id)
  }

  forget(owner: number): void {
    this.#delete.run(owner)
  }
}
