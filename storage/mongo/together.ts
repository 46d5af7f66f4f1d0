import type { AnyBulkWriteOperation } from 'mongodb'
import { type Clock, pause } from '#server/base/clock.ts'
import { newId, randomBelow } from '#server/base/random.ts'
import { StorageError } from '../storage-error.ts'
import type { StoredDocument } from './collections.ts'
import { isDuplicate } from './failure.ts'
import type { Session } from './session.ts'

/**
 * Several documents of one owner, written all or nothing without a transaction. Each is first written with the name of its group beside what it was before; then one small
 * document, the group's, is made, and with it all of them are what they are to be. Whoever meets a document of a group asks for the group's: when it is there the
 * document is new, else it is what it was before. A group that is met unfinished by a writer is given up by making its document first, with the opposite meaning: only one
 * of the two can be made. So a process may end anywhere in between and nothing has to be repaired; see docs/decisions/0011-mongodb-without-transactions.md.
 */

/** A change of one document: its JSON, or nothing when it goes. */
export interface Change {
  readonly _id: string
  readonly json: string | undefined
}

/** What a document says to a reader. */
export interface Seen {
  readonly _id: string
  readonly v: string
  readonly r: number
}

/** Two processes that keep meeting in the same documents: more often than this, one of them gives up. */
const MAX_TRIES = 20
/** Two that give each other up at the same time go on at different times: at first this much apart at most, and twice as much each time. */
const FIRST_PAUSE_MS = 2
const LONGEST_PAUSE_MS = 250
/** How long it is remembered that a group was given up: longer than any process waits to finish one. */
const REMEMBERED_MS = 86_400_000

/** What these documents say, which were just read; asks for the groups of those that are in one. */
export const seenOf = async (session: Session, found: readonly StoredDocument[]): Promise<readonly Seen[]> => {
  if (found.every(({ g }) => g === undefined)) return found.flatMap(settledSeen)
  const done = await doneGroups(session, found)
  const undecided = found.filter(({ g }) => g !== undefined && !done.has(g)).map(({ _id }) => _id)
  // A group that was finished and cleared away meanwhile is not there any more, and neither is its name in the documents.
  const again = undecided.length === 0 ? [] : await session.collections.documents.find({ _id: { $in: undecided } }).toArray()
  const now = new Map(again.map((document) => [document._id, document]))
  const seen: Seen[] = []
  const unsettled: StoredDocument[] = []
  for (const document of found) {
    const { _id, g, b } = document
    if (g === undefined || done.has(g)) seen.push(...settledSeen(document))
    else {
      const current = now.get(_id)
      if (current?.g === g) seen.push(...(b ? [{ _id, ...b }] : []))
      else if (current !== undefined) unsettled.push(current)
    }
  }
  if (unsettled.length === 0) return seen
  return [...seen, ...(await seenOf(session, unsettled))].sort((a, b) => Buffer.compare(Buffer.from(a._id), Buffer.from(b._id)))
}

const settledSeen = ({ _id, v, r }: StoredDocument): readonly Seen[] => (v === undefined ? [] : [{ _id, v, r }])

const doneGroups = async ({ collections }: Session, documents: readonly StoredDocument[]): Promise<ReadonlySet<string>> => {
  const names = [...new Set(documents.flatMap(({ g }) => g ?? []))]
  const found = await collections.groups.find({ _id: { $in: names } }).toArray()
  return new Set(found.flatMap(({ _id, isDone }) => (isDone ? _id : [])))
}

/** Ends the groups that these documents are in: those that are done are cleared away, the others given up. */
export const endGroups = async (session: Session, documents: readonly StoredDocument[], clock: Clock): Promise<void> => {
  const names = new Set(documents.flatMap(({ g }) => g ?? []))
  for (const name of names) {
    const isDone = await decide(session, name, false, clock)
    const operations = documents
      .filter(({ g }) => g === name)
      .map((document) => (isDone ? forwards(document) : backwards(document)))
    await session.collections.documents.bulkWrite(operations, { ordered: false })
  }
}

/** Writes all of these changes or none. */
export const writeTogether = async (session: Session, scope: string, changes: readonly Change[], clock: Clock): Promise<void> => {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    if (await tryTogether(session, `${scope} ${newId()}`, changes, clock)) return
    await pause(randomBelow(Math.min(FIRST_PAUSE_MS * 2 ** tries, LONGEST_PAUSE_MS)))
  }
  throw new StorageError('another server keeps writing the same documents', { isTransient: true })
}

const tryTogether = async (session: Session, name: string, changes: readonly Change[], clock: Clock): Promise<boolean> => {
  const { documents, groups } = session.collections
  const found = await documents.find({ _id: { $in: changes.map(({ _id }) => _id) } }).toArray()
  if (found.some(({ g }) => g !== undefined)) {
    await endGroups(session, found, clock)
    return false
  }
  const before = new Map(found.map((document) => [document._id, document]))
  const written = changes
    .filter(({ _id, json }) => json !== undefined || before.has(_id))
    .map(({ _id, json }): StoredDocument => {
      const was = before.get(_id)
      const b = was?.v === undefined ? null : { v: was.v, r: was.r }
      return { _id, r: session.nextRevision(), ...(json === undefined ? {} : { v: json }), g: name, b }
    })
  if (written.length === 0) return true
  const isWhole = await place(session, written)
  if (!isWhole || !(await decide(session, name, true, clock))) {
    await decide(session, name, false, clock)
    await documents.bulkWrite(written.map(backwards), { ordered: false })
    return false
  }
  try {
    await documents.bulkWrite(written.map(forwards), { ordered: false })
    await groups.deleteOne({ _id: name })
  } catch {
    // It is done. What was not cleared away is read rightly, and cleared away by whoever writes there next.
  }
  return true
}

/** Writes the documents with the name of their group over what was read; tells whether all of them were still that. */
const place = async ({ collections }: Session, written: readonly StoredDocument[]): Promise<boolean> => {
  const operations = written.map((document): AnyBulkWriteOperation<StoredDocument> => {
    const { _id, r: _, b } = document
    return b ? { replaceOne: { filter: { _id, r: b.r }, replacement: document } } : { insertOne: { document } }
  })
  try {
    await collections.documents.bulkWrite(operations, { ordered: false })
  } catch (error) {
    if (!isDuplicate(error)) throw error
  }
  // Counted by what is there: an answer that was lost and given again counts differently.
  const ids = written.map(({ _id }) => _id)
  const there = await collections.documents.find({ _id: { $in: ids } }, { projection: { g: 1 } }).toArray()
  return there.length === written.length && there.every(({ g }) => g === written[0]?.g)
}

/** Makes a group's document, or finds that it was made with the other meaning; tells whether the group is done. */
const decide = async ({ collections }: Session, name: string, isDone: boolean, clock: Clock): Promise<boolean> => {
  const { groups } = collections
  try {
    await groups.insertOne({ _id: name, isDone, ...(isDone ? {} : { e: new Date(clock.nowMs() + REMEMBERED_MS) }) })
    return isDone
  } catch (error) {
    if (!isDuplicate(error)) throw error
    return (await groups.findOne({ _id: name }))?.isDone ?? false
  }
}

const forwards = ({ _id, g, v }: StoredDocument): AnyBulkWriteOperation<StoredDocument> =>
  g !== undefined && v === undefined
    ? { deleteOne: { filter: { _id, g } } }
    : { updateOne: { filter: { _id, g: g ?? '' }, update: { $unset: { g: '', b: '' } } } }

const backwards = ({ _id, g, b }: StoredDocument): AnyBulkWriteOperation<StoredDocument> =>
  b ? { replaceOne: { filter: { _id, g: g ?? '' }, replacement: b } } : { deleteOne: { filter: { _id, g: g ?? '' } } }
