import type { Clock } from './clock.ts'

/** Lets so many a second go on, evenly, until it is told to hurry. */
export class Pace {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #waiting = new Set<() => void>()
  #nextMs = 0
  #isHurried = false

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#intervalMs = 1_000 / perSecond
  }

  /** Resolves when it is this one's turn; `undefined` when it is already. */
  turn(): Promise<void> | undefined {
    const nowMs = this.#clock.monotonicMs()
    const atMs = Math.max(nowMs, this.#nextMs)
    this.#nextMs = atMs + this.#intervalMs
    if (atMs === nowMs || this.#isHurried) return undefined
    return new Promise((resolve) => {
      const go = (): void => {
        timer.cancel()
        this.#waiting.delete(go)
        resolve()
      }
      const timer = this.#clock.after(atMs - nowMs, go)
      this.#waiting.add(go)
    })
  }

  /** Nobody waits any more. */
  hurry(): void {
    this.#isHurried = true
    for (const go of [...this.#waiting]) go()
  }
}
