import type { Documents, Revised } from '../shapes.ts'
import { checkTextKey, toJson } from '../text-key.ts'
import type { Channel } from './channel.ts'
import type { Database } from './database.ts'

/** A document as the table keeps it; the value is JSON. */
export interface DocumentRow {
  readonly key: string
  readonly revision: number
  readonly value: string
}

/** The writer's side of documents. */
export interface DocumentCalls {
  'document-get'(store: string, owner: string, key: string): DocumentRow | undefined
  'document-put'(store: string, owner: string, key: string, value: string): void
  'document-put-if'(store: string, owner: string, key: string, value: string, revision: number | undefined): boolean
  'document-put-all'(store: string, owner: string, changes: readonly (readonly [key: string, value: string | undefined])[]): void
  'document-delete'(store: string, owner: string, key: string): boolean
  'document-list'(store: string, owner: string, after: string | undefined, limit: number): DocumentRow[]
  'document-delete-owner'(store: string, owner: string): void
}

export const documentCalls = (db: Database): DocumentCalls => {
  const get = db.prepare<[string, string, string], DocumentRow>(
    'SELECT key, revision, value FROM documents WHERE store = ? AND owner = ? AND key = ?',
  )
  // One counter for all, so that a document made anew never has a revision that somebody still holds.
  const revise = db.prepare<[], { value: number }>("UPDATE meta SET value = value + 1 WHERE key = 'revision' RETURNING value")
  const upsert = db.prepare(
    `INSERT INTO documents (store, owner, key, revision, value) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET revision = excluded.revision, value = excluded.value`,
  )
  const remove = db.prepare('DELETE FROM documents WHERE store = ? AND owner = ? AND key = ?')
  const list = db.prepare<[string, string, string, number], DocumentRow>(
    'SELECT key, revision, value FROM documents WHERE store = ? AND owner = ? AND key > ? ORDER BY key LIMIT ?',
  )
  const listAll = db.prepare<[string, string, number], DocumentRow>(
    'SELECT key, revision, value FROM documents WHERE store = ? AND owner = ? ORDER BY key LIMIT ?',
  )
  const removeOwner = db.prepare('DELETE FROM documents WHERE store = ? AND owner = ?')

  const put = (store: string, owner: string, key: string, value: string): void => {
    upsert.run(store, owner, key, revise.all()[0]?.value, value)
  }
  return {
    'document-get': (store, owner, key) => get.get(store, owner, key),
    'document-put': put,
    'document-put-if'(store, owner, key, value, revision) {
      if (get.get(store, owner, key)?.revision !== revision) return false
      put(store, owner, key, value)
      return true
    },
    'document-put-all'(store, owner, changes) {
      for (const [key, value] of changes) {
        if (value === undefined) remove.run(store, owner, key)
        else put(store, owner, key, value)
      }
    },
    'document-delete': (store, owner, key) => remove.run(store, owner, key).changes === 1,
    'document-list': (store, owner, after, limit) =>
      after === undefined ? listAll.all(store, owner, limit) : list.all(store, owner, after, limit),
    'document-delete-owner'(store, owner) {
      removeOwner.run(store, owner)
    },
  }
}

/** Documents as modules see them. */
export const sqliteDocuments = <T>(channel: Channel, store: string): Documents<T> => {
  const getRevised = async (owner: string, key: string): Promise<Revised<T> | undefined> => {
    const row = await channel.read('document-get', store, checkTextKey(owner), checkTextKey(key))
    return row && revisedOf<T>(row)
  }
  return {
    async get(owner, key) {
      return (await getRevised(owner, key))?.value
    },
    getRevised,
    async put(owner, key, value) {
      return channel.write('document-put', store, checkTextKey(owner), checkTextKey(key), toJson(value))
    },
    async putIf(owner, key, value, revision) {
      return channel.write('document-put-if', store, checkTextKey(owner), checkTextKey(key), toJson(value), revision)
    },
    async putAll(owner, changes) {
      const writes = changes.map(
        ({ key, value }) => [checkTextKey(key), value === undefined ? undefined : toJson(value)] as const,
      )
      return channel.write('document-put-all', store, checkTextKey(owner), writes)
    },
    async delete(owner, key) {
      return channel.write('document-delete', store, checkTextKey(owner), checkTextKey(key))
    },
    async list(owner, { after, limit = NO_LIMIT } = {}) {
      return (await channel.read('document-list', store, checkTextKey(owner), after, limit)).map((row) => revisedOf<T>(row))
    },
    async deleteOwner(owner) {
      return channel.write('document-delete-owner', store, checkTextKey(owner))
    },
  }
}

const revisedOf = <T>({ key, value, revision }: DocumentRow): Revised<T> => ({ key, value: JSON.parse(value), revision })

/** SQLite's word for no limit. */
const NO_LIMIT = -1
