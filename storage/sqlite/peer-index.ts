import type { Database } from './database.ts'
import { ENTRY_BYTES, flagsAt, idAt, packEntries, positionOf } from './peer-entries.ts'
import type { Posting } from './postings.ts'
import { Progress } from './progress.ts'
import { FLAG_INCOMING, FLAG_TEXT, FLAG_TRANSIENT } from './record.ts'

/** Rows that lie in one piece on a page of 4 KiB, as in `PlaceIndex`. */
const ENTRIES_PER_ROW = 110

interface Row {
  readonly first: number
  readonly entries: Buffer
}

/** A conversation by its newest text, and the owner's own newest; 0 when there is none. */
export interface Newest {
  readonly last: number
  readonly answered: number
}

type Flags = Pick<Posting, 'flags'>

export const isTextOfArchive = ({ flags }: Flags): boolean => (flags & (FLAG_TEXT | FLAG_TRANSIENT)) === FLAG_TEXT
export const isReceived = (entry: Flags): boolean => isTextOfArchive(entry) && (entry.flags & FLAG_INCOMING) !== 0
export const isAnswer = (entry: Flags): boolean => isTextOfArchive(entry) && (entry.flags & FLAG_INCOMING) === 0

/**
 * The ids of an owner's entries by peer with what never changes of their flags, and the newest texts of each: filled for an owner when it asks for what
 * `PlaceIndex` would have to be searched through for, so that appending costs nothing more. How far it goes is in `progress`. A row says how many of its
 * entries the peer's own texts are, so that thousands of them are counted in a few steps.
 */
export class PeerIndex {
  readonly progress: Progress
  readonly #last
  readonly #extend
  readonly #insert
  readonly #around
  readonly #forwards
  readonly #backwards
  readonly #received
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
      'SELECT first, length(entries) AS bytes FROM peer_places WHERE owner = ? AND peer = ? ORDER BY first DESC LIMIT 1',
    )
    this.#extend = db.prepare<[Buffer, number, number, number, number]>(
      `UPDATE peer_places SET entries = CAST(entries || ? AS BLOB), received = received + ?
       WHERE owner = ? AND peer = ? AND first = ?`,
    )
    this.#insert = db.prepare('INSERT INTO peer_places (owner, peer, first, received, entries) VALUES (?, ?, ?, ?, ?)')
    this.#around = db.prepare<[number, number, number], Row>(
      'SELECT first, entries FROM peer_places WHERE owner = ? AND peer = ? AND first <= ? ORDER BY first DESC LIMIT 1',
    )
    const rows = `SELECT first, entries FROM peer_places WHERE owner = :owner AND peer = :peer AND first < :before AND first >=
      coalesce((SELECT max(first) FROM peer_places WHERE owner = :owner AND peer = :peer AND first <= :after), 0)`
    type Named = { owner: number; peer: number; after: number; before: number }
    this.#forwards = db.prepare<[Named], Row>(`${rows} ORDER BY first`)
    this.#backwards = db.prepare<[Named], Row>(`${rows} ORDER BY first DESC`)
    this.#received = db.prepare<[number, number, number], { count: number }>(
      'SELECT total(received) AS count FROM peer_places WHERE owner = ? AND peer = ? AND first > ?',
    )
    this.#replace = db.prepare(
      'UPDATE peer_places SET entries = ?, received = received - ? WHERE owner = ? AND peer = ? AND first = ?',
    )
    this.#delete = db.prepare('DELETE FROM peer_places WHERE owner = ? AND peer = ? AND first = ?')
    this.#deleteOwner = db.prepare('DELETE FROM peer_places WHERE owner = ?')
    this.#raise = db.prepare(
      `INSERT INTO conversations (owner, peer, last, answered) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET last = excluded.last, answered = max(answered, excluded.answered)`,
    )
    this.#conversation = db.prepare<[number, number], Newest>(
      'SELECT last, answered FROM conversations WHERE owner = ? AND peer = ?',
    )
    this.#conversations = db.prepare<[number, number], Newest & { peer: number }>(
      'SELECT peer, last, answered FROM conversations WHERE owner = ? AND last < ? ORDER BY last DESC',
    )
    this.#setConversation = db.prepare('UPDATE conversations SET last = ?, answered = ? WHERE owner = ? AND peer = ?')
    this.#deleteConversation = db.prepare('DELETE FROM conversations WHERE owner = ? AND peer = ?')
    this.#deleteConversations = db.prepare('DELETE FROM conversations WHERE owner = ?')
  }

  /** Adds an owner's next entries, the oldest first. */
  add(owner: number, entries: readonly Posting[]): void {
    const newest = newestOf(entries)
    for (const [peer, theirs] of Map.groupBy(entries, (entry) => entry.peer)) this.#append(owner, peer, theirs)
    for (const [peer, { last, answered }] of newest) this.#raise.run(owner, peer, last, answered)
    const last = entries.at(-1)
    if (last !== undefined) this.progress.set(owner, last.id)
  }

  #append(owner: number, peer: number, entries: readonly Posting[]): void {
    const last = this.#last.get(owner, peer)
    let room = last === undefined ? 0 : ENTRIES_PER_ROW - last.bytes / ENTRY_BYTES
    for (let from = 0; from < entries.length; ) {
      const isExtending = from === 0 && room > 0
      const part = entries.slice(from, from + (isExtending ? room : ENTRIES_PER_ROW))
      const [packed, received] = [packEntries(part), part.filter(isReceived).length]
      if (isExtending && last !== undefined) this.#extend.run(packed, received, owner, peer, last.first)
      else this.#insert.run(owner, peer, part[0]?.id, received, packed)
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
    visitor: (id: number, flags: number) => boolean,
  ): void {
    const rows = isBackwards ? this.#backwards : this.#forwards
    for (const { entries } of rows.iterate({ owner, peer, after, before })) {
      const count = entries.length / ENTRY_BYTES
      for (let step = 0; step < count; step += 1) {
        const at = (isBackwards ? count - 1 - step : step) * ENTRY_BYTES
        const id = idAt(entries, at)
        if (id > after && id < before && !visitor(id, flagsAt(entries, at))) return
      }
    }
  }

  /** How many texts from the peer are behind this id. */
  received(owner: number, peer: number, after: number): number {
    let count = this.#received.get(owner, peer, after)?.count ?? 0
    // The row in which it lies counts in part.
    const entries = this.#around.get(owner, peer, after)?.entries
    if (entries === undefined) return count
    for (let at = entries.length - ENTRY_BYTES; at >= 0 && idAt(entries, at) > after; at -= ENTRY_BYTES) {
      if (isReceived({ flags: flagsAt(entries, at) })) count += 1
    }
    return count
  }

  /** Takes an entry out; a conversation whose newest text it was goes back to the one before. */
  remove(owner: number, { id, peer }: Pick<Posting, 'id' | 'peer'>): void {
    const row = this.#around.get(owner, peer, id)
    const at = row === undefined ? -1 : positionOf(row.entries, id)
    if (row === undefined || at < 0) return
    const { first, entries } = row
    const flags = flagsAt(entries, at)
    if (entries.length === ENTRY_BYTES) this.#delete.run(owner, peer, first)
    else {
      const rest = Buffer.concat([entries.subarray(0, at), entries.subarray(at + ENTRY_BYTES)])
      this.#replace.run(rest, isReceived({ flags }) ? 1 : 0, owner, peer, first)
    }
    this.#step(owner, peer, id)
  }

  /** Sets a conversation to what is left when this entry has gone. */
  #step(owner: number, peer: number, gone: number): void {
    const newest = this.#conversation.get(owner, peer)
    if (newest === undefined || (newest.last !== gone && newest.answered !== gone)) return
    const last = newest.last === gone ? this.#before(owner, peer, gone, isTextOfArchive) : newest.last
    const answered = newest.answered === gone ? this.#before(owner, peer, gone, isAnswer) : newest.answered
    if (last === 0) this.#deleteConversation.run(owner, peer)
    else this.#setConversation.run(last, answered, owner, peer)
  }

  /** The newest such entry before this id; 0 when there is none. */
  #before(owner: number, peer: number, before: number, isSuch: (entry: Flags) => boolean): number {
    let found = 0
    this.visit(owner, peer, { after: 0, before }, true, (id, flags) => {
      if (isSuch({ flags })) found = id
      return found === 0
    })
    return found
  }

  /** The conversation with a peer, if there is a text in it. */
  conversation(owner: number, peer: number): Newest | undefined {
    return this.#conversation.get(owner, peer)
  }

  /** The peers whose newest text is older than this, the newest first. */
  conversations(owner: number, before: number): Iterable<Newest & { readonly peer: number }> {
    return this.#conversations.iterate(owner, before)
  }

  deleteOwner(owner: number): void {
    this.#deleteOwner.run(owner)
    this.#deleteConversations.run(owner)
  }
}

/** The newest texts by peer of entries in order. */
export const newestOf = (entries: readonly Posting[]): ReadonlyMap<number, Newest> => {
  const newest = new Map<number, Newest>()
  for (const entry of entries) {
    const { id, peer } = entry
    if (!isTextOfArchive(entry)) continue
    newest.set(peer, { last: id, answered: isAnswer(entry) ? id : (newest.get(peer)?.answered ?? 0) })
  }
  return newest
}
