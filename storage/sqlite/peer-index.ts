import type { Database } from './database.ts'
import type { Posting } from './postings.ts'
import { Progress } from './progress.ts'
import { FLAG_TEXT, FLAG_TRANSIENT } from './record.ts'

/** f64 id, little endian. */
const ID_BYTES = 8
/** Rows that lie in one piece on a page of 4 KiB, as in `PlaceIndex`. */
const IDS_PER_ROW = 110

interface Row {
  readonly first: number
  readonly ids: Buffer
}

export const isTextOfArchive = ({ flags }: Pick<Posting, 'flags'>): boolean =>
  (flags & (FLAG_TEXT | FLAG_TRANSIENT)) === FLAG_TEXT

/**
 * The ids of an owner's entries by peer, and the newest text of each: filled for an owner when it asks for what `PlaceIndex` would have to be searched
 * through for, so that appending costs nothing more. How far it goes is in `progress`.
 */
export class PeerIndex {
  readonly progress: Progress
  readonly #last
  readonly #extend
  readonly #insert
  readonly #around
  readonly #forwards
  readonly #backwards
  readonly #replace
  readonly #delete
  readonly #deleteOwner
  readonly #raise
  readonly #conversation
  readonly #conversations
  readonly #setConversation
  readonly #deleteConversation
  readonly #deleteConversations

  constructor(db: Database) {
    this.progress = new Progress(db, 'peers_to')
    this.#last = db.prepare<[number, number], { first: number; bytes: number }>(
      'SELECT first, length(ids) AS bytes FROM peer_places WHERE owner = ? AND peer = ? ORDER BY first DESC LIMIT 1',
    )
    this.#extend = db.prepare<[Buffer, number, number, number]>(
      'UPDATE peer_places SET ids = CAST(ids || ? AS BLOB) WHERE owner = ? AND peer = ? AND first = ?',
    )
    this.#insert = db.prepare('INSERT INTO peer_places (owner, peer, first, ids) VALUES (?, ?, ?, ?)')
    this.#around = db.prepare<[number, number, number], Row>(
      'SELECT first, ids FROM peer_places WHERE owner = ? AND peer = ? AND first <= ? ORDER BY first DESC LIMIT 1',
    )
    const rows = `SELECT first, ids FROM peer_places WHERE owner = :owner AND peer = :peer AND first < :before AND first >=
      coalesce((SELECT max(first) FROM peer_places WHERE owner = :owner AND peer = :peer AND first <= :after), 0)`
    type Named = { owner: number; peer: number; after: number; before: number }
    this.#forwards = db.prepare<[Named], Row>(`${rows} ORDER BY first`)
    this.#backwards = db.prepare<[Named], Row>(`${rows} ORDER BY first DESC`)
    this.#replace = db.prepare('UPDATE peer_places SET ids = ? WHERE owner = ? AND peer = ? AND first = ?')
    this.#delete = db.prepare('DELETE FROM peer_places WHERE owner = ? AND peer = ? AND first = ?')
    this.#deleteOwner = db.prepare('DELETE FROM peer_places WHERE owner = ?')
    this.#raise = db.prepare(
      'INSERT INTO conversations (owner, peer, last) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last',
    )
    this.#conversation = db.prepare<[number, number], { last: number }>(
      'SELECT last FROM conversations WHERE owner = ? AND peer = ?',
    )
    this.#conversations = db.prepare<[number, number], { peer: number; last: number }>(
      'SELECT peer, last FROM conversations WHERE owner = ? AND last < ? ORDER BY last DESC',
    )
    this.#setConversation = db.prepare('UPDATE conversations SET last = ? WHERE owner = ? AND peer = ?')
    this.#deleteConversation = db.prepare('DELETE FROM conversations WHERE owner = ? AND peer = ?')
    this.#deleteConversations = db.prepare('DELETE FROM conversations WHERE owner = ?')
  }

  /** Adds an owner's next entries, the oldest first. */
  add(owner: number, entries: readonly Posting[]): void {
    const [peers, texts] = [new Map<number, number[]>(), new Map<number, number>()]
    for (const entry of entries) {
      const ids = peers.get(entry.peer)
      if (ids === undefined) peers.set(entry.peer, [entry.id])
      else ids.push(entry.id)
      if (isTextOfArchive(entry)) texts.set(entry.peer, entry.id)
    }
    for (const [peer, ids] of peers) this.#append(owner, peer, ids)
    for (const [peer, last] of texts) this.#raise.run(owner, peer, last)
    const last = entries.at(-1)
    if (last !== undefined) this.progress.set(owner, last.id)
  }

  #append(owner: number, peer: number, ids: readonly number[]): void {
    const last = this.#last.get(owner, peer)
    let room = last === undefined ? 0 : IDS_PER_ROW - last.bytes / ID_BYTES
    for (let from = 0; from < ids.length; ) {
      const isExtending = from === 0 && room > 0
      const part = ids.slice(from, from + (isExtending ? room : IDS_PER_ROW))
      const packed = packIds(part)
      if (isExtending && last !== undefined) this.#extend.run(packed, owner, peer, last.first)
      else this.#insert.run(owner, peer, part[0], packed)
      from += part.length
      room = 0
    }
  }

  /** Shows the ids between these two to a visitor until it has enough and says `false`. */
  visit(
    owner: number,
    peer: number,
    { after, before }: { readonly after: number; readonly before: number },
    isBackwards: boolean,
    visitor: (id: number) => boolean,
  ): void {
    const rows = isBackwards ? this.#backwards : this.#forwards
    for (const { ids } of rows.iterate({ owner, peer, after, before })) {
      const count = ids.length / ID_BYTES
      for (let step = 0; step < count; step += 1) {
        const id = ids.readDoubleLE((isBackwards ? count - 1 - step : step) * ID_BYTES)
        if (id > after && id < before && !visitor(id)) return
      }
    }
  }

  /** Takes an entry out. `isText` tells of those that remain which may stand for the conversation. */
  remove(owner: number, { id, peer }: Pick<Posting, 'id' | 'peer'>, isText: (id: number) => boolean): void {
    const row = this.#around.get(owner, peer, id)
    const at = row === undefined ? -1 : positionOf(row.ids, id)
    if (row === undefined || at < 0) return
    if (row.ids.length === ID_BYTES) this.#delete.run(owner, peer, row.first)
    else this.#replace.run(Buffer.concat([row.ids.subarray(0, at), row.ids.subarray(at + ID_BYTES)]), owner, peer, row.first)
    if (this.#conversation.get(owner, peer)?.last !== id) return
    let last: number | undefined
    this.visit(owner, peer, { after: 0, before: id }, true, (earlier) => {
      if (isText(earlier)) last = earlier
      return last === undefined
    })
    if (last === undefined) this.#deleteConversation.run(owner, peer)
    else this.#setConversation.run(last, owner, peer)
  }

  /** The peers whose newest text is older than this, the newest first. */
  conversations(owner: number, before: number): Iterable<{ readonly peer: number; readonly last: number }> {
    return this.#conversations.iterate(owner, before)
  }

  deleteOwner(owner: number): void {
    this.#deleteOwner.run(owner)
    this.#deleteConversations.run(owner)
  }
}

const packIds = (ids: readonly number[]): Buffer => {
  const packed = Buffer.allocUnsafe(ids.length * ID_BYTES)
  for (const [index, id] of ids.entries()) packed.writeDoubleLE(id, index * ID_BYTES)
  return packed
}

const positionOf = (packed: Buffer, id: number): number => {
  for (let at = 0; at < packed.length; at += ID_BYTES) {
    if (packed.readDoubleLE(at) === id) return at
  }
  return -1
}
