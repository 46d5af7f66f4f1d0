import type { Clock } from '#server/base/clock.ts'

interface Entry<V> {
  readonly value: V
  readonly readAtMs: number
}

/** Keeps what was read last, up to a number and an age; the oldest goes first, and a hit costs one look-up and moves nothing. */
export class BoundedCache<K, V> {
  readonly #entries = new Map<K, Entry<V>>()
  readonly #clock: Clock
  readonly #maxEntries: number
  readonly #maxAgeMs: number

  constructor(clock: Clock, limits: { readonly maxEntries: number; readonly maxAgeMs: number }) {
    this.#clock = clock
    this.#maxEntries = limits.maxEntries
    this.#maxAgeMs = limits.maxAgeMs
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (this.#clock.monotonicMs() - entry.readAtMs < this.#maxAgeMs) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  set(key: K, value: V): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, readAtMs: this.#clock.monotonicMs() })
    if (this.#entries.size <= this.#maxEntries) return
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      return
    }
  }

  delete(key: K): void {
    this.#entries.delete(key)
  }
}
