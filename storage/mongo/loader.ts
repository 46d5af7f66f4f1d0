import type { Document } from 'mongodb'
import type { Account, LogEntry, LogId } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import { domainOf, toJson } from '../text-key.ts'
import type { Collections, LogDocument, StoredDocument } from './collections.ts'
import { type ConnectionOptions, connect } from './connection.ts'
import { makeIndexes } from './indexes.ts'
import { part } from './keys.ts'
import { binaryOf, documentOf } from './log-document.ts'
import { checkSchema } from './schema.ts'
import { revisions } from './session.ts'
import { write } from './write.ts'

const KEY = 'migration'
/** Documents may be large, and a migration is in no hurry: a few go together. */
const MOST_BYTES = 64 * 1024

/** How far a migration has come: what was finished last, in the order in which it goes. */
export interface Progress {
  readonly section: string
  readonly name: string
}

/**
 * Fills a database from another one. Whatever it writes replaces what it wrote before, so it may be ended anywhere and started again; until it says that it is done,
 * no server opens the database.
 */
export class MongoLoader {
  readonly #collections: Collections
  readonly #nextRevision = revisions()

  private constructor(collections: Collections) {
    this.#collections = collections
  }

  /** Opens a database that is empty, or that a migration was filling. */
  static async open(options: ConnectionOptions): Promise<MongoLoader> {
    const collections = await connect(options)
    try {
      await checkSchema(collections)
      await makeIndexes(collections)
      const { meta, accounts, documents, log } = collections
      const begun = await meta.findOne({ _id: KEY })
      if (begun === null) {
        for (const collection of [accounts, documents, log])
          if ((await collection.findOne({})) !== null)
            throw new StorageError('the MongoDB database is not empty; name another one in the URL, or drop it first', {
              isTransient: false,
            })
        await meta.insertOne({ _id: KEY, isDone: false })
      } else if (begun.isDone === true)
        throw new StorageError('a migration into this MongoDB database is done already', { isTransient: false })
      return new MongoLoader(collections)
    } catch (error) {
      await collections.client.close()
      throw error
    }
  }

  async progress(): Promise<Progress | undefined> {
    const { section, name } = (await this.#collections.meta.findOne({ _id: KEY })) ?? {}
    return section === undefined || name === undefined ? undefined : { section, name }
  }

  async reached({ section, name }: Progress): Promise<void> {
    await this.#collections.meta.updateOne({ _id: KEY }, { $set: { section, name } })
  }

  async accounts(accounts: readonly Account[]): Promise<void> {
    await replaceAll(
      this.#collections,
      'accounts',
      accounts.map(({ jid, createdAtMs, credentials, isDisabled }) => ({
        _id: `${part(domainOf(jid))} ${jid}`,
        at: createdAtMs,
        c: JSON.stringify(credentials),
        off: isDisabled,
        r: this.#nextRevision(),
      })),
    )
  }

  async documents(
    store: string,
    owner: string,
    documents: readonly { readonly key: string; readonly value: unknown }[],
  ): Promise<void> {
    await replaceAll(
      this.#collections,
      'documents',
      documents.map(
        ({ key, value }): StoredDocument => ({
          _id: `${part(owner)} ${part(store)} ${key}`,
          r: this.#nextRevision(),
          v: toJson(value),
        }),
      ),
    )
  }

  async log(entries: readonly LogEntry[]): Promise<void> {
    await replaceAll(
      this.#collections,
      'log',
      entries.map((entry): LogDocument => {
        const document = documentOf({ ...entry, places: [] }, entry, binaryOf(entry.stanza), undefined)
        return entry.takenAtMs === undefined ? document : { ...document, a: entry.takenAtMs }
      }),
    )
  }

  async lastId(id: LogId): Promise<void> {
    await this.#collections.meta.updateOne({ _id: 'log' }, { $max: { last: id } }, { upsert: true })
  }

  /** From now on servers may open it. */
  async done(): Promise<void> {
    await this.#collections.meta.updateOne({ _id: KEY }, { $set: { isDone: true } })
  }

  close(): Promise<void> {
    return this.#collections.client.close()
  }
}

const replaceAll = async <D extends Document & { readonly _id: string }>(
  collections: Collections,
  name: string,
  documents: readonly D[],
): Promise<void> => {
  const statements = documents.map((document) => ({ q: { _id: document._id }, u: document, upsert: true }))
  const [failure] = await write(collections, 'update', name, statements, () => MOST_BYTES)
  if (failure !== undefined) throw new StorageError(`MongoDB refused: ${failure.message}`, { isTransient: false })
}

/** Refuses a database that a migration has not finished filling. */
export const checkMigrated = async ({ meta }: Collections): Promise<void> => {
  const begun = await meta.findOne({ _id: KEY })
  if (begun !== null && begun.isDone !== true)
    throw new StorageError('a migration into this MongoDB database has not finished; run `waxwing migrate` again', {
      isTransient: false,
    })
}
