import { StorageError } from '../storage-error.ts'

interface Operation {
  readonly isWrite: boolean
  /** Applies the change and gives the callback that reports it. */
  run(): () => void
  fail(error: Error): void
}

/**
 * Commits everything of one turn together on the next, in order, as a database does: what is not yet committed is neither seen nor reported.
 * Tests make a commit fail (`failNext`) or wait (`hold`, `release`).
 */
export class CommitQueue {
  #waiting: Operation[] = []
  #isScheduled = false
  #isHeld = false
  #isClosed = false
  #failure: Error | undefined

  /** Queues a change; resolves with its result once it is committed. */
  write<T>(apply: () => T): Promise<T> {
    return this.#promise(true, apply)
  }

  /** Queues a look at what was committed, and what is queued before it. */
  read<T>(look: () => T): Promise<T> {
    return this.#promise(false, look)
  }

  /** Queues a change that is reported to a callback. */
  append(apply: () => void, done: (error?: Error) => void): void {
    this.#add({
      isWrite: true,
      run: () => {
        apply()
        return done
      },
      fail: done,
    })
  }

  /** Queues a change that nobody waits for; when its commit fails it goes with the next one. */
  retried(apply: () => void): void {
    const run = () => {
      apply()
      return () => {}
    }
    this.#add({ isWrite: true, run, fail: () => this.retried(apply) })
  }

  failNext(error: Error): void {
    this.#failure = error
  }

  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    if (this.#waiting.length > 0) this.#schedule()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.release()
    await this.read(() => undefined)
    this.#isClosed = true
  }

  #promise<T>(isWrite: boolean, action: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = () => {
        const result = action()
        return () => resolve(result)
      }
      this.#add({ isWrite, run, fail: reject })
    })
  }

  #add(operation: Operation): void {
    this.#waiting.push(operation)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isHeld) return
    this.#isScheduled = true
    setImmediate(() => this.#commit())
  }

  #commit(): void {
    this.#isScheduled = false
    if (this.#isHeld) return
    const batch = this.#waiting
    this.#waiting = []
    const failure = this.#isClosed ? new StorageError('the store is closed', { isTransient: false }) : this.#takeFailure(batch)
    for (const report of batch.map((operation) => reportOf(operation, failure, this.#isClosed))) report()
  }

  #takeFailure(batch: readonly Operation[]): Error | undefined {
    if (!batch.some((operation) => operation.isWrite)) return undefined
    const failure = this.#failure
    this.#failure = undefined
    return failure
  }
}

const reportOf = (operation: Operation, failure: Error | undefined, isClosed: boolean): (() => void) => {
  if (failure !== undefined && (operation.isWrite || isClosed)) return () => operation.fail(failure)
  try {
    return operation.run()
  } catch (error) {
    const reason = error instanceof Error ? error : new StorageError('the change failed', { isTransient: false, cause: error })
    return () => operation.fail(reason)
  }
}
