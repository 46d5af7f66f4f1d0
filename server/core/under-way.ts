import type { Clock } from '#server/base/clock.ts'

/** Work that has begun and is not done, so that whoever stops can wait for it. */
export class UnderWay {
  #count = 0
  #waiters: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  /** Counts it until it ends, well or not; whose failure it is, others say. */
  add(work: Promise<unknown>): void {
    this.#count++
    work.then(this.#done, this.#done)
  }

  readonly #done = (): void => {
    this.#count--
    if (this.#count > 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }

  /** Resolves when nothing is under way, and nothing has followed from it, or when this has taken too long. */
  async idle(clock: Clock, mostMs: number): Promise<void> {
    let isLate = false
    while (this.#count > 0 && !isLate) {
      // The next one of a session begins behind the end of the one before it.
      await new Promise<void>((resolve) => {
        const timer = clock.after(mostMs, () => {
          isLate = true
          resolve()
        })
        this.#waiters.push(() => {
          timer.cancel()
          resolve()
        })
      })
    }
  }
}
