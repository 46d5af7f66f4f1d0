/** Says that a key has as many tasks waiting as it may. */
export class QueueFullError extends Error {
  constructor(key: string, limit: number) {
    super(`${limit} tasks are waiting for ${key} already`)
    this.name = 'QueueFullError'
  }
}

interface Lane {
  readonly waiting: (() => Promise<void>)[]
}

/** Runs the tasks of one key strictly one after the other, and those of different keys side by side. */
export class WorkQueue {
  readonly #maxWaiting: number
  readonly #lanes = new Map<string, Lane>()
  #idle: (() => void)[] = []

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting
  }

  /** Runs the task when those before it have ended, well or not; settles as the task does, and rejects with `QueueFullError` at once when too many wait. */
  run<T>(key: string, task: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry = async (): Promise<void> => {
        try {
          resolve(await task())
        } catch (error) {
          reject(error)
        }
      }
      const lane = this.#lanes.get(key)
      if (lane === undefined) {
        const fresh: Lane = { waiting: [] }
        this.#lanes.set(key, fresh)
        void this.#work(key, fresh, entry)
      } else if (lane.waiting.length >= this.#maxWaiting) reject(new QueueFullError(key, this.#maxWaiting))
      else lane.waiting.push(entry)
    })
  }

  /** How many keys have work. */
  get size(): number {
    return this.#lanes.size
  }

  /** Resolves when no key has work. */
  idle(): Promise<void> {
    return this.#lanes.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  async #work(key: string, lane: Lane, first: () => Promise<void>): Promise<void> {
    let entry: (() => Promise<void>) | undefined = first
    while (entry !== undefined) {
      await entry()
      entry = lane.waiting.shift()
    }
    this.#lanes.delete(key)
    if (this.#lanes.size > 0) return
    const waiters = this.#idle
    this.#idle = []
    for (const resolve of waiters) resolve()
  }
}
