import type { BareJid } from '#stanzas/jid.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { Log, LogConversation, LogEntry, LogFilter, LogId, LogQuery, LogReading } from '../shapes.ts'
import { checkTextKey } from '../text-key.ts'
import { wordsOf, wordsOfStanza } from '../words.ts'
import type { Collections, LogDocument } from './collections.ts'
import { isNotImplemented } from './failure.ts'
import { CONVERSATIONS, PENDING } from './indexes.ts'
import { idOf } from './keys.ts'
import type { LastId } from './last-id.ts'
import {
  binaryOf,
  entryOf,
  filterOf,
  idsBetween,
  isSent,
  logKey,
  logKeys,
  peerOf,
  receivedFrom,
  textsOf,
} from './log-document.ts'
import { ask, type Session } from './session.ts'

/** Entries that `expire` looks through at once, and that `search` fetches at once. */
const PAGE = 500
/** Keys that one command deletes. */
const KEYS_PER_COMMAND = 1000

/** Keeps the log: a document for each place of a record. */
export const mongoLog = (session: Session, lastId: LastId): Log => {
  const { committer, collections } = session
  const { log } = collections
  const look = async <T>(owner: BareJid, command: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    checkTextKey(owner)
    return committer.read(owner, () => ask(session, command))
  }
  const change = async <T>(owner: BareJid, command: () => Promise<T>): Promise<T> => {
    checkTextKey(owner)
    await committer.written(owner)
    return ask(session, command)
  }
  const remove = async (keys: readonly string[]): Promise<void> => {
    for (let first = 0; first < keys.length; first += KEYS_PER_COMMAND)
      await log.deleteMany({ _id: { $in: keys.slice(first, first + KEYS_PER_COMMAND) } })
  }
  return {
    append: (record, done) => committer.append(record, done),
    clearPending: (owner, id, takenAtMs) => committer.clear(owner, id, takenAtMs),
    async pending(owner, { after, limit }) {
      if (limit === 0) return []
      const filter = pendingOf(owner, after)
      const found = await look(owner, (signal) =>
        log.find(filter, { signal }).hint(PENDING).sort({ _id: 1 }).limit(limit).toArray(),
      )
      return found.map((document) => entryOf(owner, document))
    },
    countPending: (owner) => look(owner, (signal) => log.countDocuments(pendingOf(owner, undefined), { hint: PENDING, signal })),
    async get(owner, id) {
      const found = await look(owner, (signal) => log.findOne({ _id: logKey(owner, id) }, { signal }))
      return found === null ? undefined : entryOf(owner, found)
    },
    async range(owner, query) {
      if (query.limit === 0) return []
      const found = await look(owner, (signal) => pageOf(session, owner, query, signal).toArray())
      return found.map((document) => entryOf(owner, document))
    },
    count: (owner, filter) =>
      look(owner, (signal) => log.countDocuments(filterOf(owner, filter), { hint: hintOf(filter), signal })),
    conversations: (owner, page) => look(owner, () => conversationsOf(session, owner, page)),
    unread: (owner, readings) => look(owner, () => unreadOf(session, owner, readings)),
    search: (owner, words, query) => look(owner, () => found(session, owner, words, query)),
    replace: (owner, id, stanza) => change(owner, () => replace(session, owner, id, stanza)),
    expire: (owner, beforeMs, limit) =>
      change(owner, async () => {
        const keys = await endedOf(session, owner, beforeMs, limit)
        await remove(keys)
        return keys.length
      }),
    async delete(owner, ids) {
      if (ids.length === 0) return
      await change(owner, () => remove(ids.map((id) => logKey(owner, id))))
    },
    async deleteOwner(owner) {
      checkTextKey(owner)
      await committer.alone(owner, () => ask(session, () => log.deleteMany({ _id: logKeys(owner) })))
    },
    async lastId() {
      committer.admit()
      return lastId.value
    },
    flush: () => committer.flush(),
  }
}

const hintOf = ({ peer }: LogFilter): string | Record<string, number> => (peer === undefined ? { _id: 1 } : CONVERSATIONS)

const pendingOf = (owner: BareJid, after: LogId | undefined) => ({
  ...filterOf(owner, after === undefined ? {} : { after }),
  n: true as const,
})

const pageOf = ({ collections }: Session, owner: BareJid, query: LogQuery, signal?: AbortSignal) =>
  collections.log
    .find(filterOf(owner, query), signal && { signal })
    .hint(hintOf(query))
    .sort({ _id: query.backwards === true ? -1 : 1 })
    .limit(query.limit)

/** The newest texts of each conversation, one sent and one come: the index has them in a row, so one step finds each. */
const conversationsOf = async (
  { collections }: Session,
  owner: BareJid,
  { before, limit }: { readonly before?: LogId; readonly limit: number },
): Promise<readonly LogConversation[]> => {
  if (limit === 0) return []
  const isWanted = (last: string): boolean =>
    before === undefined || last < logKey(owner, Math.min(before, Number.MAX_SAFE_INTEGER))
  const conversations = new Map<string, { readonly last: string; readonly answered: string | undefined }>()
  for (const { _id, last } of await newestTexts(collections, owner)) {
    const peer = peerOf(owner, _id)
    const other = conversations.get(peer)
    const answered = isSent(owner, _id) ? last : other?.answered
    conversations.set(peer, { last: other === undefined || other.last < last ? last : other.last, answered })
  }
  return [...conversations]
    .filter(([, { last }]) => isWanted(last))
    .sort(([, a], [, b]) => (a.last < b.last ? 1 : -1))
    .slice(0, limit)
    .map(([peer, { last, answered }]) => ({ peer, last: idOf(last), answered: answered === undefined ? 0 : idOf(answered) }))
}

/** All conversations in one command: the index has what it asks about, each conversation in a row. */
const unreadOf = async (
  { collections }: Session,
  owner: BareJid,
  readings: readonly LogReading[],
): Promise<readonly number[]> => {
  if (readings.length === 0) return []
  const $or = readings.map(({ peer, after }) => ({ c: receivedFrom(owner, peer), _id: idsBetween(owner, { after }) }))
  const pipeline = [{ $match: { _id: logKeys(owner), $or } }, { $group: { _id: '$c', count: { $sum: 1 } } }]
  const found = await collections.log
    .aggregate<{ readonly _id: string; readonly count: number }>(pipeline, { hint: CONVERSATIONS })
    .toArray()
  const counts = new Map(found.map(({ _id, count }) => [_id, count]))
  return readings.map(({ peer }) => counts.get(receivedFrom(owner, peer)) ?? 0)
}

interface Newest {
  readonly _id: string
  readonly last: string
}

const newestTexts = async ({ log }: Collections, owner: BareJid): Promise<readonly Newest[]> => {
  const filter = { c: textsOf(owner), _id: logKeys(owner) }
  const sort = { c: -1, _id: -1 } as const
  try {
    const group = { $group: { _id: '$c', last: { $first: '$_id' } } }
    return await log.aggregate<Newest>([{ $match: filter }, { $sort: sort }, group], { hint: CONVERSATIONS }).toArray()
  } catch (error) {
    // COMPAT(FerretDB 1.24): it groups, but knows no first of a group.
    if (!isNotImplemented(error)) throw error
    const newest = new Map<string, string>()
    for await (const { c, _id } of log.find(filter, { projection: { c: 1 } }).sort(sort)) if (!newest.has(c)) newest.set(c, _id)
    return [...newest].map(([_id, last]) => ({ _id, last }))
  }
}

/** Looks through the owner's messages: words in their entries would make every append dearer by more than all else. */
const found = async (session: Session, owner: BareJid, words: string, query: LogQuery): Promise<readonly LogEntry[]> => {
  const wanted = wordsOf(words)
  const entries: LogEntry[] = []
  if (wanted.length === 0 || query.limit === 0) return entries
  for await (const document of pageOf(session, owner, { ...query, limit: 0 }).batchSize(PAGE)) {
    const entry = entryOf(owner, document)
    const has = wordsOfStanza(entry.stanza)
    if (wanted.every((beginning) => has.some((word) => word.startsWith(beginning)))) entries.push(entry)
    if (entries.length >= query.limit) break
  }
  return entries
}

const replace = async ({ collections }: Session, owner: BareJid, id: LogId, stanza: Wire): Promise<boolean> => {
  const { log } = collections
  const own: LogDocument | null = await log.findOne({ _id: logKey(owner, id) })
  if (own === null) return false
  const owners = [owner, ...(own.w ?? [peerOf(owner, own.c)])]
  const s = binaryOf(stanza)
  await log.bulkWrite(
    owners.map((each) => ({ updateOne: { filter: { _id: logKey(each, id) }, update: { $set: { s } } } })),
    { ordered: false },
  )
  return true
}

/**
 * The oldest entries that are old enough and taken. It stops at a page with nothing old in it: what a clock that went back has put behind that comes to the front as time goes by,
 * and nobody's whole archive is looked through for nothing.
 */
const endedOf = async ({ collections }: Session, owner: BareJid, beforeMs: number, limit: number): Promise<readonly string[]> => {
  const ended: string[] = []
  let range: { $gte?: string; $gt?: string; $lt: string } = logKeys(owner)
  while (ended.length < limit) {
    const page = await collections.log
      .find({ _id: range }, { projection: { t: 1, n: 1 } })
      .sort({ _id: 1 })
      .limit(PAGE)
      .toArray()
    const old = page.filter(({ t }) => t < beforeMs)
    for (const { _id, n } of old) if (n !== true && ended.length < limit) ended.push(_id)
    const last = page.at(-1)
    if (last === undefined || old.length === 0 || page.length < PAGE) break
    range = { $gt: last._id, $lt: range.$lt }
  }
  return ended
}
