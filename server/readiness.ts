import type { Clock } from './base/clock.ts'

/** Whoever asks wants to know now; a store that does not answer cannot be written. */
const LOOK_MS = 3_000

/** Whether a server can do its work (`/readyz`): what it waits for while it starts, and then what its parts say. */
export class Readiness {
  readonly #clock: Clock
  #reason = 'the server starts'
  #look: (() => Promise<void>) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** It cannot start yet. */
  waits(reason: string): void {
    this.#reason = reason
  }

  /** It has started: from now on this rejects with what is wrong. */
  begins(look: () => Promise<void>): void {
    this.#look = look
  }

  /** Rejects with what is wrong. */
  check(): Promise<void> {
    const look = this.#look
    if (look === undefined) return Promise.reject(new Error(this.#reason))
    return new Promise((resolve, reject) => {
      const late = this.#clock.after(LOOK_MS, () => reject(new Error('the store does not answer')))
      look()
        .then(resolve, reject)
        .finally(() => late.cancel())
    })
  }
}
