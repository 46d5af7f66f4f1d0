import type { CreateIndexesOptions, IndexSpecification } from 'mongodb'
import type { Collections } from './collections.ts'
import { isNotImplemented } from './failure.ts'

/** The conversations of an owner: by kind and peer, then by id. */
export const CONVERSATIONS = 'conversations'
/** What waits for an owner. It holds pending entries only, so it stays small. */
export const PENDING = 'pending'

interface Index {
  readonly collection: 'log' | 'expiring' | 'groups'
  readonly key: IndexSpecification
  readonly options: CreateIndexesOptions
}

/** All there are beside those on `_id`, by which everything else is found. */
const INDEXES: readonly Index[] = [
  { collection: 'log', key: { c: 1, _id: 1 }, options: { name: CONVERSATIONS } },
  { collection: 'log', key: { n: 1, _id: 1 }, options: { name: PENDING, partialFilterExpression: { n: true } } },
  { collection: 'expiring', key: { e: 1 }, options: { name: 'end', expireAfterSeconds: 0 } },
  { collection: 'groups', key: { e: 1 }, options: { name: 'end', expireAfterSeconds: 0 } },
]

/** Makes the indexes that are not there yet. */
export const makeIndexes = async (collections: Collections): Promise<void> => {
  for (const { collection, key, options } of INDEXES) {
    const { db } = collections
    try {
      await db.collection(collection).createIndex(key, options)
    } catch (error) {
      // COMPAT(FerretDB 1.24): without partial and TTL indexes, the plain one is larger, and what has ended is removed by nobody.
      if (!isNotImplemented(error)) throw error
      await db.collection(collection).createIndex(key, { ...(options.name === undefined ? {} : { name: options.name }) })
    }
  }
}
