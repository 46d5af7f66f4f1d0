/**
 * Keeps costly key derivations from filling the thread pool, which file access and name resolution share: a few run at once, some wait in order, and
 * what comes beyond is refused at once instead of making every login wait longer.
 */
export class DerivationQueue {
  readonly #maxRunning: number
  readonly #maxWaiting: number
  readonly #waiting: (() => void)[] = []
  #running = 0
  #refused = 0

  constructor(limits: { readonly maxRunning: number; readonly maxWaiting: number }) {
    this.#maxRunning = limits.maxRunning
    this.#maxWaiting = limits.maxWaiting
  }

  /** How many tasks run or wait. */
  get length(): number {
    return this.#running + this.#waiting.length
  }

  /** How many tasks were not run because too many waited. */
  get refused(): number {
    return this.#refused
  }

  /** Runs the task when its turn comes; `undefined`, and nothing is run, when too many wait already. */
  run<T>(task: () => Promise<T>): Promise<T> | undefined {
    if (this.#running < this.#maxRunning) {
      this.#running += 1
      return this.#finish(task())
    }
    if (this.#waiting.length >= this.#maxWaiting) {
      this.#refused += 1
      return undefined
    }
    return new Promise<void>((resolve) => this.#waiting.push(resolve)).then(() => this.#finish(task()))
  }

  async #finish<T>(result: Promise<T>): Promise<T> {
    try {
      return await result
    } finally {
      // The next in line takes over this one's place, so that nobody can slip in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
