import type { Clock } from './clock.ts'

/** How much may happen: `burst` at once, and refilled evenly so that a whole burst comes back in `perMs`. */
export interface Rate {
  readonly burst: number
  readonly perMs: number
}

/** One bucket of tokens, for a thing that already has a place in memory such as a connection. Time is given, so that nothing is read twice. */
export class TokenBucket {
  readonly #rate: Rate
  #tokens: number
  #atMs: number

  constructor(rate: Rate, monotonicMs: number) {
    this.#rate = rate
    this.#tokens = rate.burst
    this.#atMs = monotonicMs
  }

  /** Takes the tokens if they are there, else none; tells whether it did. */
  take(monotonicMs: number, cost = 1): boolean {
    this.#refill(monotonicMs)
    if (this.#tokens < cost) return false
    this.#tokens -= cost
    return true
  }

  /** Takes the tokens in any case and tells for how many milliseconds the taker must wait until they would have been there. */
  borrow(monotonicMs: number, cost = 1): number {
    this.#refill(monotonicMs)
    this.#tokens -= cost
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * this.#rate.perMs) / this.#rate.burst)
  }

  /** Whether the tokens are there, without taking them. */
  has(monotonicMs: number, cost = 1): boolean {
    this.#refill(monotonicMs)
    return this.#tokens >= cost
  }

  /** Whether nothing has been taken that has not come back. */
  isFull(monotonicMs: number): boolean {
    this.#refill(monotonicMs)
    return this.#tokens >= this.#rate.burst
  }

  #refill(monotonicMs: number): void {
    const elapsedMs = monotonicMs - this.#atMs
    if (elapsedMs <= 0) return
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (elapsedMs * this.#rate.burst) / this.#rate.perMs)
    this.#atMs = monotonicMs
  }
}

/** More keys than an attack from one network has; 100,000 buckets are about 15 MB. */
const MAX_KEYS = 100_000

/**
 * A token bucket per key (address, account). Buckets live in order of their last use; when there are too many, the one unused for longest is forgotten,
 * which forgives whoever has been quiet for longest. A key that is not there has a full bucket, so full ones cost nothing.
 */
export class RateLimit {
  readonly #rate: Rate
  readonly #clock: Clock
  readonly #maxKeys: number
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(rate: Rate, clock: Clock, maxKeys: number = MAX_KEYS) {
    this.#rate = rate
    this.#clock = clock
    this.#maxKeys = maxKeys
  }

  /** Takes from the key's bucket if it holds enough; tells whether it did. */
  take(key: string, cost = 1): boolean {
    const nowMs = this.#clock.monotonicMs()
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate, nowMs)
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    const isTaken = bucket.take(nowMs, cost)
    if (this.#buckets.size > this.#maxKeys) this.#forget(nowMs)
    return isTaken
  }

  /** Whether `take` would succeed: for what is counted only when it fails, such as logins. */
  allows(key: string, cost = 1): boolean {
    return this.#buckets.get(key)?.has(this.#clock.monotonicMs(), cost) ?? this.#rate.burst >= cost
  }

  /** Fills the key's bucket again. */
  forgive(key: string): void {
    this.#buckets.delete(key)
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#buckets.size
  }

  #forget(nowMs: number): void {
    for (const [key, bucket] of this.#buckets) {
      if (this.#buckets.size <= this.#maxKeys && !bucket.isFull(nowMs)) return
      this.#buckets.delete(key)
    }
  }
}
