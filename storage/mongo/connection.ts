import { type Db, MongoClient } from 'mongodb'
import { StorageError } from '../storage-error.ts'
import { type Collections, collectionsOf } from './collections.ts'
import { storageErrorOf } from './failure.ts'

export interface ConnectionOptions {
  readonly url: string
  /** `relaxed`: what the primary has in memory counts as written. */
  readonly durability: 'full' | 'relaxed'
  /** How long an operation waits for a primary before it fails. */
  readonly selectionMs?: number
  /** How long a write may take that others wait for, before it is sent again. */
  readonly answerMs?: number
}

const DATABASE = 'waxwing'
/** MongoDB 5.0, the oldest whose behaviour we know. */
const OLDEST_WIRE_VERSION = 13
/** Longer than a replica set takes to choose another primary. */
const SELECTION_MS = 15_000
const FIRST_SELECTION_MS = 3000
/** A majority that has not answered by then is asked again. */
const MAJORITY_MS = 10_000
/** Longer than either of these. */
const ANSWER_MS = 20_000
/** A server that has not answered by then is given up; longer than the majority may take. */
const SOCKET_MS = 30_000
const MAX_CONNECTIONS = 32

/** Looks at what answers, and connects. */
export const connect = async (options: ConnectionOptions): Promise<Collections> => {
  const { url, durability, selectionMs = SELECTION_MS, answerMs = ANSWER_MS } = options
  const concern = durability === 'full' ? { w: 'majority' as const, j: true } : { w: 1, j: false }
  const settings = {
    appName: 'waxwing',
    // In the URL's stead, so that no setting there takes the promise of a write away.
    writeConcern: { w: concern.w, journal: concern.j, wtimeoutMS: MAJORITY_MS },
    readPreference: 'primary',
    readConcern: { level: 'local' },
    retryWrites: true,
    retryReads: true,
    ignoreUndefined: true,
    socketTimeoutMS: SOCKET_MS,
    maxPoolSize: MAX_CONNECTIONS,
    // What was given up (in-time.ts) must not be sent later all the same.
    waitQueueTimeoutMS: selectionMs,
  } as const
  // An operator who starts a server hears soon that its database is not there; a message may wait longer for one that was.
  const first = clientOf(url, { ...settings, serverSelectionTimeoutMS: Math.min(selectionMs, FIRST_SELECTION_MS) })
  try {
    await examine(first.db(databaseOf(url)))
  } catch (error) {
    throw storageErrorOf(error)
  } finally {
    await first.close()
  }
  const client = clientOf(url, { ...settings, serverSelectionTimeoutMS: selectionMs })
  return collectionsOf(client, client.db(databaseOf(url)), { ...concern, wtimeout: MAJORITY_MS }, answerMs)
}

const examine = async (db: Db): Promise<void> => {
  const { maxWireVersion } = await db.command({ hello: 1 })
  if (maxWireVersion < OLDEST_WIRE_VERSION)
    throw new StorageError(`this MongoDB is too old (wire version ${maxWireVersion}): it has to be 5.0 or newer`, {
      isTransient: false,
    })
  // What needs a login fails here, and not with the first message.
  await db.collection('meta').findOne({})
}

const clientOf = (url: string, options: ConstructorParameters<typeof MongoClient>[1]): MongoClient => {
  try {
    return new MongoClient(url, options)
  } catch (error) {
    // The driver's text may repeat the URL, and with it the password.
    const reason = error instanceof Error ? error.message.replaceAll(url, 'it') : 'it does not parse'
    throw new StorageError(`store.url is not a MongoDB URL: ${withoutPassword(reason)}`, { isTransient: false })
  }
}

const withoutPassword = (text: string): string => text.replaceAll(/\/\/[^@/\s]*@/g, '//')

/** The database that the URL names, or `waxwing`. */
const databaseOf = (url: string): string => /^mongodb(?:\+srv)?:\/\/[^/]*\/([^?]+)/.exec(url)?.[1] ?? DATABASE
