import type { BareJid } from '#stanzas/jid.ts'
import type { Log, LogEntry, LogId, LogQuery, LogRecord } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import { checkTextKey } from '../text-key.ts'
import type { CommitQueue } from './commit-queue.ts'

/** Each owner's entries by id; ids only grow, so a map's order is theirs. */
class LogShelf {
  readonly #owners = new Map<BareJid, Map<LogId, LogEntry>>()
  lastId: LogId = 0

  append({ id, atMs, stanza, places }: LogRecord): void {
    if (id <= this.lastId) throw new StorageError(`log id ${id} is not above ${this.lastId}`, { isTransient: false })
    for (const { owner, peer } of places) {
      checkTextKey(owner)
      checkTextKey(peer)
    }
    if (new Set(places.map(({ owner }) => owner)).size < places.length)
      throw new StorageError('a record has two places of one owner', { isTransient: false })
    this.lastId = id
    for (const { owner, peer, direction, isPending } of places) {
      const entries = this.#owners.get(owner) ?? new Map()
      this.#owners.set(owner, entries)
      entries.set(id, { id, atMs, stanza, owner, peer, direction, isPending })
    }
  }

  clearPending(owner: BareJid, id: LogId): void {
    const entry = this.get(owner, id)
    if (entry !== undefined) this.#owners.get(owner)?.set(id, { ...entry, isPending: false })
  }

  get(owner: BareJid, id: LogId): LogEntry | undefined {
    return this.#owners.get(owner)?.get(id)
  }

  entries(owner: BareJid): readonly LogEntry[] {
    return [...(this.#owners.get(owner)?.values() ?? [])]
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
    clearPending: (owner, id) => queue.retried(() => shelf.clearPending(owner, id)),
    pending: (owner, { after = 0, limit }) =>
      queue.read(() =>
        pendingOf(owner)
          .filter((entry) => entry.id > after)
          .slice(0, limit),
      ),
    countPending: (owner) => queue.read(() => pendingOf(owner).length),
    get: (owner, id) => queue.read(() => shelf.get(owner, id)),
    range: (owner, query) => queue.read(() => select(shelf.entries(owner), query)),
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
  const found = entries.filter(
    ({ id, atMs, peer }) =>
      id > (query.after ?? 0) &&
      id < (query.before ?? Number.POSITIVE_INFINITY) &&
      atMs >= (query.fromMs ?? Number.NEGATIVE_INFINITY) &&
      atMs <= (query.untilMs ?? Number.POSITIVE_INFINITY) &&
      (query.peer === undefined || peer === query.peer),
  )
  return (query.backwards === true ? found.reverse() : found).slice(0, query.limit)
}
