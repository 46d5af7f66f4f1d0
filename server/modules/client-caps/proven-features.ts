import type { Logger } from '#server/base/log.ts'
import type { Documents } from '#storage/shapes.ts'

/** What a client can do. Sessions of the same software share one set. */
export type FeatureSet = ReadonlySet<string>

/** What stands for a claim once it is proved; all sessions that make it share this one. */
export interface Proof {
  readonly key: string
  readonly features: FeatureSet
}

/** As it is stored. */
export interface StoredFeatures {
  readonly features: readonly string[]
}

/** All of them are under one name of the module's own: they belong to no account. */
const OWNER = 'proven'
/** Entries read at once. */
const PAGE = 500

/**
 * Features that were proved by their hash (XEP-0115 §5.4), by hash function and `ver`. The claim asked for least recently goes first, from memory and from the
 * store together, so that a flood of invented hashes pushes out what nobody uses.
 */
export class ProvenFeatures {
  readonly #store: Documents<StoredFeatures>
  readonly #maxEntries: number
  readonly #log: Logger
  readonly #entries = new Map<string, Proof>()

  constructor(store: Documents<StoredFeatures>, maxEntries: number, log: Logger) {
    this.#store = store
    this.#maxEntries = maxEntries
    this.#log = log
  }

  get size(): number {
    return this.#entries.size
  }

  /** Reads what earlier processes have learned. */
  async load(): Promise<void> {
    for (let after: string | undefined; ; ) {
      const page = await this.#store.list(OWNER, after === undefined ? { limit: PAGE } : { after, limit: PAGE })
      for (const { key, value } of page) this.#remember({ key, features: new Set(value.features) })
      if (page.length < PAGE) return
      after = page.at(-1)?.key
    }
  }

  get(key: string): Proof | undefined {
    const proof = this.#entries.get(key)
    if (proof === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, proof)
    return proof
  }

  /** Looks for what other processes have learned since. */
  async find(key: string): Promise<Proof | undefined> {
    const stored = await this.#store.get(OWNER, key)
    if (stored === undefined) return undefined
    const proof = this.get(key) ?? { key, features: new Set(stored.features) }
    this.#remember(proof)
    return proof
  }

  /** Keeps what was proved, for everybody who makes the claim. */
  add(proof: Proof): void {
    this.#remember(proof)
    this.#write(this.#store.put(OWNER, proof.key, { features: [...proof.features] }))
  }

  #remember(proof: Proof): void {
    this.#entries.set(proof.key, proof)
    if (this.#entries.size <= this.#maxEntries) return
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      this.#write(this.#store.delete(OWNER, oldest))
      return
    }
  }

  /** What cannot be written is asked for again after a restart. */
  #write(written: Promise<unknown>): void {
    written.catch((error: unknown) => this.#log.warn('capabilities-not-stored', { error }))
  }
}
