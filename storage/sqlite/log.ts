import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { passes } from '../log-filter.ts'
import type { Log, LogEntry, LogId, LogQuery } from '../shapes.ts'
import { checkTextKey } from '../text-key.ts'
import { wordsOf, wordsOfStanza } from '../words.ts'
import type { Channel } from './channel.ts'
import type { LogReader, Page } from './log-reader.ts'
import type { LogRemover } from './log-remover.ts'
import type { LogStore } from './log-store.ts'
import type { Names } from './names.ts'

/** The writer's side of the log, but for what is packed: appends and cleared marks. */
export interface LogCalls {
  'log-get'(owner: string, id: number): Page | undefined
  'log-range'(owner: string, query: LogQuery): Page | undefined
  'log-pending'(owner: string, after: number, limit: number): Page | undefined
  'log-count-pending'(owner: string): number
  'log-replace'(owner: string, id: number, stanza: string): boolean
  'log-expire'(owner: string, beforeMs: number, limit: number): number
  'log-delete'(owner: string, ids: readonly number[]): void
  'log-delete-owner'(owner: string): void
  'log-last-id'(): number
}

export const logCalls = (names: Names, store: LogStore, reader: LogReader, remover: LogRemover): LogCalls => {
  const withOwner = <T>(owner: string, action: (row: number) => T): T | undefined => {
    // The lock comes before the first look: beside another process's log there is nothing to see.
    void store.state
    const row = names.find(owner)
    return row === undefined ? undefined : action(row)
  }
  return {
    'log-get': (owner, id) => withOwner(owner, (row) => reader.get(row, id)),
    'log-range': (owner, query) =>
      withOwner(owner, (row) => {
        const peer = query.peer === undefined ? undefined : names.find(query.peer)
        return query.peer !== undefined && peer === undefined ? undefined : reader.range(row, query, peer)
      }),
    'log-pending': (owner, after, limit) => withOwner(owner, (row) => reader.pending(row, after, limit)),
    'log-count-pending': (owner) => withOwner(owner, (row) => reader.countPending(row)) ?? 0,
    'log-replace': (owner, id, stanza) => withOwner(owner, (row) => remover.replace(row, id, stanza)) ?? false,
    'log-expire': (owner, beforeMs, limit) => withOwner(owner, (row) => remover.expire(row, beforeMs, limit)) ?? 0,
    'log-delete': (owner, ids) => withOwner(owner, (row) => remover.delete(row, ids)),
    'log-delete-owner': (owner) => withOwner(owner, (row) => remover.deleteOwner(row)),
    'log-last-id': () => store.state.lastId,
  }
}

/** The log as modules see it. */
export const sqliteLog = (channel: Channel): Log => ({
  append: (record, done) => channel.append(record, done),
  clearPending: (owner, id, takenAtMs) => channel.clearPending(owner, id, takenAtMs),
  async pending(owner, { after = 0, limit }) {
    return entriesOf(owner, await channel.read('log-pending', checkTextKey(owner), after, limit))
  },
  async countPending(owner) {
    return channel.read('log-count-pending', checkTextKey(owner))
  },
  async get(owner, id) {
    return entriesOf(owner, await channel.read('log-get', checkTextKey(owner), id))[0]
  },
  async range(owner, query) {
    return select(await everything(channel, owner), query)
  },
  async count(owner, filter) {
    return (await everything(channel, owner)).filter((entry) => passes(filter, entry)).length
  },
  async conversations(owner, { before = Number.POSITIVE_INFINITY, limit }) {
    const last = new Map<string, LogId>()
    for (const { id, peer, isText, isTransient } of await everything(channel, owner))
      if (isText && !isTransient) last.set(peer, id)
    return [...last]
      .map(([peer, id]) => ({ peer, last: id }))
      .filter((conversation) => conversation.last < before)
      .sort((a, b) => b.last - a.last)
      .slice(0, limit)
  },
  async search(owner, words, query) {
    const wanted = wordsOf(words)
    const has = (entry: LogEntry) => {
      const own = wordsOfStanza(entry.stanza)
      return wanted.length > 0 && wanted.every((beginning) => own.some((word) => word.startsWith(beginning)))
    }
    return select((await everything(channel, owner)).filter(has), query)
  },
  async replace(owner, id, stanza) {
    return channel.write('log-replace', checkTextKey(owner), id, stanza)
  },
  async expire(owner, beforeMs, limit) {
    return channel.write('log-expire', checkTextKey(owner), beforeMs, limit)
  },
  async delete(owner, ids) {
    return channel.write('log-delete', checkTextKey(owner), ids)
  },
  async deleteOwner(owner) {
    return channel.write('log-delete-owner', checkTextKey(owner))
  },
  lastId: () => channel.read('log-last-id'),
  flush: () => channel.write('flush'),
})

const entriesOf = (owner: BareJid, page: Page | undefined): readonly LogEntry[] =>
  (page?.ids ?? []).map((id, index) => ({
    id,
    atMs: page?.times[index] ?? 0,
    stanza: wire(page?.stanzas[index] ?? ''),
    owner,
    peer: page?.peers[index] ?? '',
    direction: page?.incoming[index] === true ? 'in' : 'out',
    isPending: page?.pending[index] === true,
    isTransient: page?.transient[index] === true,
    isText: page?.text[index] === true,
    takenAtMs: page?.taken[index],
  }))

const everything = async (channel: Channel, owner: BareJid): Promise<readonly LogEntry[]> =>
  entriesOf(owner, await channel.read('log-range', checkTextKey(owner), { limit: Number.POSITIVE_INFINITY }))

const select = (entries: readonly LogEntry[], query: LogQuery): readonly LogEntry[] => {
  const found = entries.filter((entry) => passes(query, entry))
  return (query.backwards === true ? found.reverse() : found).slice(0, query.limit)
}
