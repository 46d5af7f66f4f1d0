import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import type { Log, LogEntry, LogFilter, LogQuery } from '../shapes.ts'
import { checkTextKey } from '../text-key.ts'
import { beginningsOf } from '../words.ts'
import type { Channel } from './channel.ts'
import type { ConversationPage, Conversations } from './conversations.ts'
import type { LogChanges } from './log-changes.ts'
import type { Count, LogReader, Missing, Page } from './log-reader.ts'
import type { LogRemover } from './log-remover.ts'
import type { LogStore } from './log-store.ts'
import type { Names } from './names.ts'
import { FLAG_INCOMING, FLAG_PENDING, FLAG_TEXT, FLAG_TRANSIENT } from './record.ts'

/** The writer's side of the log, but for what is packed: appends and cleared marks. */
export interface LogCalls {
  'log-get'(owner: string, id: number): Page | undefined
  'log-range'(owner: string, query: LogQuery): Page | Missing | undefined
  'log-search'(owner: string, beginnings: readonly string[], query: LogQuery): Page | Missing | undefined
  'log-count'(owner: string, filter: LogFilter): Count | Missing
  'log-conversations'(owner: string, before: number, limit: number): ConversationPage | Missing | undefined
  'log-unread'(owner: string, peers: readonly string[], after: readonly number[]): number[] | Missing | undefined
  'log-pending'(owner: string, after: number, limit: number, maxBytes: number | undefined): Page | undefined
  'log-count-pending'(owner: string): number
  /** Does a step of what is missing, and tells whether there is more to do. */
  'log-index'(owner: string, missing: Missing): boolean
  'log-replace'(owner: string, id: number, stanza: string): boolean
  'log-expire'(owner: string, beforeMs: number, limit: number): number
  'log-delete'(owner: string, ids: readonly number[]): void
  'log-delete-owner'(owner: string): void
  'log-last-id'(): number
}

interface LogParts {
  readonly names: Names
  readonly store: LogStore
  readonly reader: LogReader
  readonly conversations: Conversations
  readonly changes: LogChanges
  readonly remover: LogRemover
}

export const logCalls = ({ names, store, reader, conversations, changes, remover }: LogParts): LogCalls => {
  const withOwner = <T>(owner: string, action: (row: number) => T): T | undefined => {
    // The lock comes before the first look: beside another process's log there is nothing to see.
    void store.state
    const row = names.find(owner)
    return row === undefined ? undefined : action(row)
  }
  /** With a peer that nobody ever had, there is nothing. */
  const withPeer = <T>(owner: string, { peer }: LogFilter, action: (row: number, peer: number | undefined) => T): T | undefined =>
    withOwner(owner, (row) => {
      const other = peer === undefined ? undefined : names.find(peer)
      return peer !== undefined && other === undefined ? undefined : action(row, other)
    })
  return {
    'log-get': (owner, id) => withOwner(owner, (row) => reader.get(row, id)),
    'log-range': (owner, query) => withPeer(owner, query, (row, peer) => reader.range(row, query, peer)),
    'log-search': (owner, beginnings, query) =>
      withPeer(owner, query, (row, peer) => reader.search(row, beginnings, query, peer)),
    'log-count': (owner, filter) => withPeer(owner, filter, (row, peer) => reader.count(row, filter, peer)) ?? [0, undefined],
    'log-conversations': (owner, before, limit) => withOwner(owner, (row) => conversations.page(row, before, limit)),
    'log-unread': (owner, peers, after) => withOwner(owner, (row) => conversations.unread(row, peers, after)),
    'log-pending': (owner, after, limit, maxBytes) => withOwner(owner, (row) => reader.pending(row, after, limit, maxBytes)),
    'log-count-pending': (owner) => withOwner(owner, (row) => reader.countPending(row)) ?? 0,
    'log-index': (owner, missing) =>
      withOwner(owner, (row) => (missing === 'peers' ? changes.extendPeers(row) : changes.extendWords(row))) ?? false,
    'log-replace': (owner, id, stanza) => withOwner(owner, (row) => changes.replace(row, id, stanza)) ?? false,
    'log-expire': (owner, beforeMs, limit) => withOwner(owner, (row) => remover.expire(row, beforeMs, limit)) ?? 0,
    'log-delete': (owner, ids) => withOwner(owner, (row) => remover.delete(row, ids)),
    'log-delete-owner': (owner) => withOwner(owner, (row) => remover.deleteOwner(row)),
    'log-last-id': () => store.state.lastId,
  }
}

/** The log as modules see it. */
export const sqliteLog = (channel: Channel): Log => {
  /** Asks, and where an index is missing has it made, in steps between which others have their turn. */
  const ask = async <T>(owner: BareJid, question: () => Promise<T | Missing>): Promise<T> => {
    for (;;) {
      const answer = await question()
      if (!isMissing(answer)) return answer
      while (await channel.write('log-index', owner, answer));
    }
  }
  /** Asks for page after page until there are as many entries as wanted, or there is nothing more. */
  const collect = async (
    owner: BareJid,
    query: LogQuery,
    question: (rest: LogQuery) => Promise<Page | Missing | undefined>,
  ): Promise<readonly LogEntry[]> => {
    const entries: LogEntry[] = []
    for (let rest = query; ; ) {
      const page = await ask(owner, () => question(rest))
      for (const entry of entriesOf(owner, page)) entries.push(entry)
      if (page?.next === undefined) return entries
      const maxBytes = rest.maxBytes === undefined ? undefined : rest.maxBytes - bytesOf(page.stanzas)
      rest = {
        ...rest,
        limit: query.limit - entries.length,
        ...(maxBytes !== undefined && { maxBytes }),
        [query.backwards === true ? 'before' : 'after']: page.next,
      }
    }
  }
  return {
    append: (record, done) => channel.append(record, done),
    clearPending: (owner, id, takenAtMs) => channel.clearPending(owner, id, takenAtMs),
    async pending(owner, { after = 0, limit, maxBytes }) {
      return entriesOf(owner, await channel.read('log-pending', checkTextKey(owner), after, limit, maxBytes))
    },
    async countPending(owner) {
      return channel.read('log-count-pending', checkTextKey(owner))
    },
    async get(owner, id) {
      return entriesOf(owner, await channel.read('log-get', checkTextKey(owner), id))[0]
    },
    async range(owner, query) {
      checkTextKey(owner)
      return collect(owner, query, (rest) => channel.read('log-range', owner, rest))
    },
    async count(owner, filter) {
      checkTextKey(owner)
      let sum = 0
      for (let after = filter.after ?? 0; ; ) {
        const [count, next] = await ask(owner, () => channel.read('log-count', owner, { ...filter, after }))
        sum += count
        if (next === undefined) return sum
        after = next
      }
    },
    async conversations(owner, { before = Number.POSITIVE_INFINITY, limit }) {
      checkTextKey(owner)
      const page = await ask(owner, () => channel.read('log-conversations', owner, before, limit))
      return (page?.peers ?? []).map((peer, index) => ({
        peer,
        last: page?.last[index] ?? 0,
        answered: page?.answered[index] ?? 0,
      }))
    },
    async unread(owner, readings) {
      checkTextKey(owner)
      const [peers, after] = [readings.map(({ peer }) => peer), readings.map((reading) => reading.after)]
      const counts = await ask(owner, () => channel.read('log-unread', owner, peers, after))
      return counts ?? readings.map(() => 0)
    },
    async search(owner, words, query) {
      checkTextKey(owner)
      const beginnings = beginningsOf(words)
      if (beginnings.length === 0) return []
      return collect(owner, query, (rest) => channel.read('log-search', owner, beginnings, rest))
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
  }
}

const bytesOf = (stanzas: readonly string[]): number => stanzas.reduce((sum, { length }) => sum + length, 0)

const isMissing = (answer: unknown): answer is Missing => answer === 'peers' || answer === 'words'

const entriesOf = (owner: BareJid, page: Page | undefined): readonly LogEntry[] =>
  (page?.ids ?? []).map((id, index) => {
    const flags = page?.flags[index] ?? 0
    const takenAtMs = page?.taken[index] ?? Number.NaN
    return {
      id,
      atMs: page?.times[index] ?? 0,
      stanza: wire(page?.stanzas[index] ?? ''),
      owner,
      peer: page?.peers[index] ?? '',
      direction: (flags & FLAG_INCOMING) !== 0 ? 'in' : 'out',
      isPending: (flags & FLAG_PENDING) !== 0,
      isTransient: (flags & FLAG_TRANSIENT) !== 0,
      isText: (flags & FLAG_TEXT) !== 0,
      takenAtMs: Number.isNaN(takenAtMs) ? undefined : takenAtMs,
    }
  })
