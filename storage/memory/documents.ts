import type { Documents, Revised } from '../shapes.ts'
import { checkTextKey, toJson } from '../text-key.ts'
import { compareCodePoints } from './code-points.ts'
import type { CommitQueue } from './commit-queue.ts'

/** One store's documents, as JSON text, by owner and key. */
export class DocumentShelf {
  readonly #owners = new Map<string, Map<string, { readonly json: string; readonly revision: number }>>()
  #lastRevision = 0

  get(owner: string, key: string): { readonly json: string; readonly revision: number } | undefined {
    return this.#owners.get(owner)?.get(key)
  }

  keys(owner: string): readonly string[] {
    return [...(this.#owners.get(owner)?.keys() ?? [])].sort(compareCodePoints)
  }

  put(owner: string, key: string, json: string): void {
    const documents = this.#owners.get(owner) ?? new Map()
    this.#owners.set(owner, documents)
    this.#lastRevision += 1
    documents.set(key, { json, revision: this.#lastRevision })
  }

  delete(owner: string, key: string): boolean {
    return this.#owners.get(owner)?.delete(key) ?? false
  }

  deleteOwner(owner: string): void {
    this.#owners.delete(owner)
  }
}

/** Keeps documents in maps; values pass through JSON, so nobody shares an object with the store. */
export const memoryDocuments = <T>(queue: CommitQueue, shelf: DocumentShelf): Documents<T> => {
  const revised = (owner: string, key: string): Revised<T> | undefined => {
    const document = shelf.get(owner, key)
    return document && { key, value: JSON.parse(document.json), revision: document.revision }
  }
  return {
    get: (owner, key) => queue.read(() => revised(owner, key)?.value),
    getRevised: (owner, key) => queue.read(() => revised(owner, key)),
    async put(owner, key, value) {
      const json = checked(owner, key, value)
      return queue.write(() => shelf.put(owner, key, json))
    },
    async putIf(owner, key, value, revision) {
      const json = checked(owner, key, value)
      return queue.write(() => {
        if (shelf.get(owner, key)?.revision !== revision) return false
        shelf.put(owner, key, json)
        return true
      })
    },
    async putAll(owner, changes) {
      const writes = changes.map(({ key, value }) => ({
        key,
        json: value === undefined ? undefined : checked(owner, key, value),
      }))
      return queue.write(() => {
        for (const { key, json } of writes) {
          if (json === undefined) shelf.delete(owner, key)
          else shelf.put(owner, key, json)
        }
      })
    },
    delete: (owner, key) => queue.write(() => shelf.delete(owner, key)),
    list: (owner, { after, limit = Number.POSITIVE_INFINITY } = {}) =>
      queue.read(() =>
        shelf
          .keys(owner)
          .filter((key) => after === undefined || compareCodePoints(key, after) > 0)
          .slice(0, limit)
          .flatMap((key) => revised(owner, key) ?? []),
      ),
    deleteOwner: (owner) => queue.write(() => shelf.deleteOwner(owner)),
  }
}

const checked = (owner: string, key: string, value: unknown): string => {
  checkTextKey(owner)
  checkTextKey(key)
  return toJson(value)
}
