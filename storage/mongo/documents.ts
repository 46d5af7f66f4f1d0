import type { Clock } from '#server/base/clock.ts'
import type { Documents, Revised } from '../shapes.ts'
import { checkTextKey } from '../text-key.ts'
import { checkedJson } from './checked-json.ts'
import type { StoredDocument } from './collections.ts'
import { isDuplicate } from './failure.ts'
import { beginningWith, part } from './keys.ts'
import { ask, type Session } from './session.ts'
import { type Change, endGroups, type Seen, seenOf, writeTogether } from './together.ts'

/** Keeps one store's documents, by owner, store and key. */
export const mongoDocuments = <T>(session: Session, store: string, clock: Clock): Documents<T> => {
  const { documents } = session.collections
  const prefixOf = (owner: string): string => `${part(checkTextKey(owner))} ${part(store)} `
  const run = <R>(
    prefix: string,
    key: string | undefined,
    isWrite: boolean,
    command: (signal: AbortSignal) => Promise<R>,
  ): Promise<R> => session.order.run(`documents ${prefix}`, key, isWrite, () => ask(session, command))
  const one = async (_id: string, signal: AbortSignal): Promise<Seen | undefined> => {
    const found = await documents.findOne({ _id }, { signal })
    return found === null ? undefined : (await seenOf(session, [found]))[0]
  }
  const getRevised = async (owner: string, key: string): Promise<Revised<T> | undefined> => {
    const prefix = prefixOf(owner)
    const _id = prefix + checkTextKey(key)
    const seen = await run(prefix, key, false, (signal) => one(_id, signal))
    return seen && { key, value: JSON.parse(seen.v), revision: seen.r }
  }
  const put = (prefix: string, key: string, json: string): Promise<void> =>
    session.order.run(`documents ${prefix}`, key, true, () =>
      session.committer.put('documents', { _id: prefix + key, r: session.nextRevision(), v: json }),
    )
  const remove = (prefix: string, key: string): Promise<boolean> =>
    run(prefix, key, true, async () => {
      const found = await documents.findOneAndDelete({ _id: prefix + key })
      return found !== null && (await wasSeen(session, found))
    })
  return {
    async get(owner, key) {
      return (await getRevised(owner, key))?.value
    },
    getRevised,
    async put(owner, key, value) {
      return put(prefixOf(owner), checkTextKey(key), checkedJson(value))
    },
    async putIf(owner, key, value, revision) {
      const prefix = prefixOf(owner)
      const document = { _id: prefix + checkTextKey(key), r: session.nextRevision(), v: checkedJson(value) }
      return run(prefix, key, true, () => compareAndSet(session, document, revision, clock))
    },
    async putAll(owner, changes) {
      const prefix = prefixOf(owner)
      const last = new Map<string, string | undefined>()
      for (const { key, value } of changes) last.set(checkTextKey(key), value === undefined ? undefined : checkedJson(value))
      const [only] = last
      if (only === undefined) return
      const [key, json] = only
      if (last.size === 1) return json === undefined ? void (await remove(prefix, key)) : put(prefix, key, json)
      const writes = [...last].map(([each, value]): Change => ({ _id: prefix + each, json: value }))
      return run(prefix, undefined, true, () => writeTogether(session, prefix, writes, clock))
    },
    async delete(owner, key) {
      return remove(prefixOf(owner), checkTextKey(key))
    },
    async list(owner, { after, limit } = {}) {
      const prefix = prefixOf(owner)
      if (limit === 0) return []
      const seen = await run(prefix, undefined, false, () => page(session, prefix, after, limit))
      return seen.map(({ _id, v, r }) => ({ key: _id.slice(prefix.length), value: JSON.parse(v), revision: r }))
    },
    async deleteOwner(owner) {
      const prefix = prefixOf(owner)
      return run(prefix, undefined, true, async () => void (await documents.deleteMany({ _id: beginningWith(prefix) })))
    },
  }
}

/** The documents of a prefix in order. Those that are written in a group at the moment may not count, so it goes on until the page is full. */
const page = async (
  session: Session,
  prefix: string,
  after: string | undefined,
  limit: number | undefined,
): Promise<readonly Seen[]> => {
  const all = beginningWith(prefix)
  const seen: Seen[] = []
  let last = after === undefined ? undefined : prefix + after
  for (;;) {
    const wanted = limit === undefined ? 0 : limit - seen.length
    const range = last === undefined ? all : { $gt: last, $lt: all.$lt }
    const found = await session.collections.documents.find({ _id: range }).sort({ _id: 1 }).limit(wanted).toArray()
    seen.push(...(await seenOf(session, found)))
    last = found.at(-1)?._id
    if (limit === undefined || last === undefined || found.length < wanted || seen.length >= limit) return seen
  }
}

/** Whether there was a document to a reader, in what is deleted now. */
const wasSeen = async (session: Session, found: StoredDocument): Promise<boolean> => {
  if (found.g === undefined) return true
  const group = await session.collections.groups.findOne({ _id: found.g })
  return group?.isDone === true ? found.v !== undefined : found.b != null
}

/** The revision is the call's own mark: sent again after an answer was lost, it finds its own work and says so. */
const compareAndSet = async (
  session: Session,
  document: StoredDocument,
  revision: number | undefined,
  clock: Clock,
): Promise<boolean> => {
  const { documents } = session.collections
  const { _id, r } = document
  const found = await documents.findOne({ _id })
  if (found?.g !== undefined) {
    await endGroups(session, [found], clock)
    return compareAndSet(session, document, revision, clock)
  }
  if (found?.r !== revision) return false
  if (revision !== undefined) {
    const { matchedCount } = await documents.replaceOne({ _id, r: revision }, document)
    return matchedCount === 1 || (await documents.findOne({ _id }))?.r === r
  }
  try {
    await documents.insertOne(document)
    return true
  } catch (error) {
    if (!isDuplicate(error)) throw error
    return (await documents.findOne({ _id }))?.r === r
  }
}
