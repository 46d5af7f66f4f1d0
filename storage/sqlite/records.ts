import type { Database } from './database.ts'
import { Meta } from './meta.ts'
import { indexOfOwner, placeCountOf, withoutPlace, withStanza } from './record.ts'

/** The records themselves, by id: the table that every append writes to. */
export class Records {
  readonly #read
  readonly #change
  readonly #delete
  readonly #meta: Meta

  constructor(db: Database) {
    this.#read = db.prepare<[number], { record: Buffer }>('SELECT record FROM log WHERE id = ?')
    this.#change = db.prepare('UPDATE log SET record = ? WHERE id = ?')
    this.#delete = db.prepare('DELETE FROM log WHERE id = ?')
    this.#meta = new Meta(db)
  }

  read(id: number): Buffer | undefined {
    return this.#read.get(id)?.record
  }

  /** Puts another stanza into a record. */
  replace(id: number, record: Buffer, stanza: string): void {
    this.#change.run(withStanza(record, stanza), id)
  }

  /** Takes an owner's place out of a record, which goes with the last of its places. `lastId` is the highest in the log. */
  unlink(owner: number, id: number, lastId: number): void {
    const record = this.read(id)
    const index = record === undefined ? -1 : indexOfOwner(record, owner)
    if (record === undefined || index < 0) return
    if (placeCountOf(record) > 1) {
      this.#change.run(withoutPlace(record, index), id)
      return
    }
    this.#delete.run(id)
    // The next process counts on from the last id, also when its record is gone.
    if (id === lastId) this.#meta.set('last-id', id)
  }
}
