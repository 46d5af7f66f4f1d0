import { detach, type Wire } from './wire.ts'

/**
 * A bounded memory of what was used lately, in two generations: entries are added to the young one; when it is full it becomes the old one and
 * the old one is forgotten. What is asked for again moves back to the young one. A hit there is one map lookup and allocates nothing,
 * where an exact least-recently-used order would write on every read.
 */
export class Recent<V extends object> {
  readonly #maxEntries: number
  readonly #maxKeyLength: number
  #young = new Map<string, V>()
  #old = new Map<string, V>()
  #keyLength = 0

  /** Each generation holds at most so many entries, and keys of at most so many characters in all. */
  constructor(limits: { readonly maxEntries: number; readonly maxKeyLength: number }) {
    this.#maxEntries = limits.maxEntries
    this.#maxKeyLength = limits.maxKeyLength
  }

  /** What was kept under this key, if it is still remembered. */
  get(key: Wire): V | undefined {
    return this.#young.get(key) ?? this.#getOld(key)
  }

  /** Keeps a value. The key is kept as it is: whoever slices it from something larger copies it first. */
  set(key: Wire, value: V): void {
    if (this.#young.size >= this.#maxEntries || this.#keyLength + key.length > this.#maxKeyLength) {
      this.#old = this.#young
      this.#young = new Map()
      this.#keyLength = 0
    }
    this.#young.set(key, value)
    this.#keyLength += key.length
  }

  /** How many entries both generations hold. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  #getOld(key: Wire): V | undefined {
    const value = this.#old.get(key)
    if (value === undefined) return undefined
    this.#old.delete(key)
    this.set(detach(key), value)
    return value
  }
}
