import type { BareJid } from '#stanzas/jid.ts'
import type { Wire } from '#stanzas/wire.ts'
import { passes } from '../log-filter.ts'
import type { Log, LogConversation, LogEntry, LogId, LogPageSize, LogQuery, LogReading, LogRecord } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import { checkTextKey } from '../text-key.ts'
import { beginningsOf, wordsOfStanza } from '../words.ts'
import type { CommitQueue } from './commit-queue.ts'

/** Each owner's entries by id, in the order of the ids. */
class LogShelf {
  readonly #owners = new Map<BareJid, Map<LogId, LogEntry>>()
  readonly #used = new Set<LogId>()
  lastId: LogId = 0

  append({ id, atMs, stanza, isText, places }: LogRecord): void {
    if (this.#used.has(id)) throw new StorageError(`log id ${id} has been used`, { isTransient: false })
    for (const { owner, peer } of places) {
      checkTextKey(owner)
      checkTextKey(peer)
    }
    if (new Set(places.map(({ owner }) => owner)).size < places.length)
      throw new StorageError('a record has two places of one owner', { isTransient: false })
    this.#used.add(id)
    for (const { owner, peer, direction, isPending, isTransient } of places) {
      const entries = this.#owners.get(owner) ?? new Map<LogId, LogEntry>()
      entries.set(id, { id, atMs, stanza, owner, peer, direction, isPending, isTransient, isText, takenAtMs: undefined })
      this.#owners.set(owner, id > this.lastId ? entries : new Map([...entries].sort(([a], [b]) => a - b)))
    }
    this.lastId = Math.max(this.lastId, id)
  }

  clearPending(owner: BareJid, id: LogId, takenAtMs: number): void {
    const entry = this.get(owner, id)
    if (entry?.isPending !== true) return
    if (entry.isTransient) this.delete(owner, [id])
    else this.#owners.get(owner)?.set(id, { ...entry, isPending: false, takenAtMs })
  }

  get(owner: BareJid, id: LogId): LogEntry | undefined {
    return this.#owners.get(owner)?.get(id)
  }

  entries(owner: BareJid): readonly LogEntry[] {
    return [...(this.#owners.get(owner)?.values() ?? [])]
  }

  replace(owner: BareJid, id: LogId, stanza: Wire): boolean {
    if (this.get(owner, id) === undefined) return false
    for (const entries of this.#owners.values()) {
      const entry = entries.get(id)
      if (entry !== undefined) entries.set(id, { ...entry, stanza })
    }
    return true
  }

  delete(owner: BareJid, ids: readonly LogId[]): void {
    for (const id of ids) this.#owners.get(owner)?.delete(id)
  }

  deleteOwner(owner: BareJid): void {
    this.#owners.delete(owner)
  }
}

/** Keeps the log in maps. */
export const memoryLog = (queue: CommitQueue): Log => {
  const shelf = new LogShelf()
  const pendingOf = (owner: BareJid) => shelf.entries(owner).filter((entry) => entry.isPending)
  return {
    append: (record, done) => queue.append(() => shelf.append(record), done),
    clearPending: (owner, id, takenAtMs) => queue.retried(() => shelf.clearPending(owner, id, takenAtMs)),
    pending: (owner, { after = 0, ...size }) =>
      queue.read(() =>
        pageOf(
          pendingOf(owner).filter((entry) => entry.id > after),
          size,
        ),
      ),
    countPending: (owner) => queue.read(() => pendingOf(owner).length),
    get: (owner, id) => queue.read(() => shelf.get(owner, id)),
    range: (owner, query) => queue.read(() => select(shelf.entries(owner), query)),
    count: (owner, filter) => queue.read(() => shelf.entries(owner).filter((entry) => passes(filter, entry)).length),
    conversations: (owner, page) => queue.read(() => conversationsOf(shelf.entries(owner), page)),
    unread: (owner, readings) => queue.read(() => unreadOf(shelf.entries(owner), readings)),
    search: (owner, words, query) => queue.read(() => select(shelf.entries(owner).filter(hasWords(words)), query)),
    replace: (owner, id, stanza) => queue.write(() => shelf.replace(owner, id, stanza)),
    expire: (owner, beforeMs, limit) =>
      queue.write(() => {
        const ended = shelf.entries(owner).filter((entry) => entry.atMs < beforeMs && !entry.isPending)
        const ids = ended.slice(0, limit).map((entry) => entry.id)
        shelf.delete(owner, ids)
        return ids.length
      }),
    delete: (owner, ids) => queue.write(() => shelf.delete(owner, ids)),
    deleteOwner: (owner) => queue.write(() => shelf.deleteOwner(owner)),
    lastId: () => queue.read(() => shelf.lastId),
    flush: () => queue.write(() => undefined),
  }
}

const select = (entries: readonly LogEntry[], query: LogQuery): readonly LogEntry[] => {
  const found = entries.filter((entry) => passes(query, entry))
  return pageOf(query.backwards === true ? found.reverse() : found, query)
}

const pageOf = (
  entries: readonly LogEntry[],
  { limit, maxBytes = Number.POSITIVE_INFINITY }: LogPageSize,
): readonly LogEntry[] => {
  let bytes = 0
  const end = entries.findIndex(({ stanza }) => {
    bytes += stanza.length
    return bytes >= maxBytes
  })
  return entries.slice(0, end === -1 ? limit : Math.min(limit, end + 1))
}

const conversationsOf = (
  entries: readonly LogEntry[],
  { before = Number.POSITIVE_INFINITY, limit }: { readonly before?: LogId; readonly limit: number },
): readonly LogConversation[] => {
  const newest = new Map<string, LogConversation>()
  for (const { id, peer, direction, isText, isTransient } of entries) {
    if (!isText || isTransient) continue
    newest.set(peer, { peer, last: id, answered: direction === 'out' ? id : (newest.get(peer)?.answered ?? 0) })
  }
  return [...newest.values()]
    .filter((conversation) => conversation.last < before)
    .sort((a, b) => b.last - a.last)
    .slice(0, limit)
}

const unreadOf = (entries: readonly LogEntry[], readings: readonly LogReading[]): readonly number[] => {
  const after = new Map(readings.map((reading) => [reading.peer, reading.after]))
  const counts = new Map<string, number>()
  for (const { id, peer, direction, isText, isTransient } of entries) {
    const isUnread = direction === 'in' && isText && !isTransient && id > (after.get(peer) ?? id)
    if (isUnread) counts.set(peer, (counts.get(peer) ?? 0) + 1)
  }
  return readings.map(({ peer }) => counts.get(peer) ?? 0)
}

/** Whether an entry has all these words, whole or by their beginning; no words are in none. */
const hasWords = (text: string): ((entry: LogEntry) => boolean) => {
  const wanted = beginningsOf(text)
  return ({ stanza }) => {
    const words = wanted.length === 0 ? [] : wordsOfStanza(stanza)
    return wanted.length > 0 && wanted.every((beginning) => words.some((word) => word.startsWith(beginning)))
  }
}
