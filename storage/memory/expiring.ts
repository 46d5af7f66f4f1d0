import type { Expiring } from '../shapes.ts'
import { checkTextKey, toJson } from '../text-key.ts'
import { compareCodePoints } from './code-points.ts'
import type { CommitQueue } from './commit-queue.ts'

/** One store's expiring values, as JSON text, by key. */
export type ExpiringShelf = Map<string, { readonly json: string; readonly expiresAtMs: number }>

/** Keeps expiring values in a map, and forgets the ended ones when somebody looks. */
export const memoryExpiring = <T>(queue: CommitQueue, shelf: ExpiringShelf, nowMs: () => number): Expiring<T> => {
  const living = (key: string, atMs: number): T | undefined => {
    const held = shelf.get(key)
    if (held === undefined) return undefined
    if (held.expiresAtMs > atMs) return JSON.parse(held.json)
    shelf.delete(key)
    return undefined
  }
  return {
    get(key) {
      const atMs = nowMs()
      return queue.read(() => living(key, atMs))
    },
    async put(key, value, expiresAtMs) {
      checkTextKey(key)
      const json = toJson(value)
      return queue.write(() => void shelf.set(key, { json, expiresAtMs }))
    },
    take(key) {
      const atMs = nowMs()
      return queue.write(() => {
        const value = living(key, atMs)
        shelf.delete(key)
        return value
      })
    },
    delete(key) {
      const atMs = nowMs()
      return queue.write(() => living(key, atMs) !== undefined && shelf.delete(key))
    },
    list(prefix) {
      const atMs = nowMs()
      return queue.read(() =>
        [...shelf]
          .filter(([key, { expiresAtMs }]) => key.startsWith(prefix) && expiresAtMs > atMs)
          .sort(([a], [b]) => compareCodePoints(a, b))
          .map(([key, { json, expiresAtMs }]) => ({ key, value: JSON.parse(json), expiresAtMs })),
      )
    },
  }
}
