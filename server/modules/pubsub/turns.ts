import { StanzaError } from '#stanzas/stanza-error.ts'

/** Gives the part that waits right behind, as long as one does. */
export type Next<P> = () => P | undefined

interface Entry<P> {
  readonly run: () => Promise<void>
  readonly part: P | undefined
}

interface Lane<P> {
  readonly waiting: Entry<P>[]
}

/** Operations of one node strictly one after the other, and those of different nodes side by side. Parts that wait one right behind the other are done together. */
export class Turns<P> {
  readonly #maxWaiting: number
  readonly #lanes = new Map<string, Lane<P>>()

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting
  }

  /** Runs the task when everything before it has ended, well or not; settles as the task does. Refuses when too much waits. */
  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = (): Promise<void> => task().then(resolve, reject)
      this.#enter(key, { run, part: undefined })
    })
  }

  /** Does `work`, which never rejects, with this part and those that come right behind it meanwhile. Refuses when too much waits. */
  together(key: string, part: P, work: (next: Next<P>) => Promise<void>): void {
    const run = (): Promise<void> => {
      let first: P | undefined = part
      return work(() => {
        const own = first
        first = undefined
        return own ?? this.#takeNext(key)
      })
    }
    this.#enter(key, { run, part })
  }

  #takeNext(key: string): P | undefined {
    const waiting = this.#lanes.get(key)?.waiting
    return waiting?.[0]?.part === undefined ? undefined : waiting.shift()?.part
  }

  #enter(key: string, entry: Entry<P>): void {
    const lane = this.#lanes.get(key)
    if (lane === undefined) {
      const fresh: Lane<P> = { waiting: [] }
      this.#lanes.set(key, fresh)
      void this.#work(key, fresh, entry)
    } else if (lane.waiting.length >= this.#maxWaiting) throw new StanzaError('resource-constraint')
    else lane.waiting.push(entry)
  }

  async #work(key: string, lane: Lane<P>, first: Entry<P>): Promise<void> {
    for (let entry: Entry<P> | undefined = first; entry !== undefined; entry = lane.waiting.shift()) await entry.run()
    this.#lanes.delete(key)
  }
}
