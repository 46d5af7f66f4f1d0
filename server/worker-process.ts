import { type ChildProcess, fork } from 'node:child_process'
import type { Clock, Timer } from './base/clock.ts'
import { OperationError } from './base/operations.ts'
import type { RunningServer } from './command/server-seam.ts'
import {
  type Failure,
  type FromWorker,
  type ToWorker,
  WORKER_ARGUMENT,
  type WorkerQuestion,
  type WorkerStart,
} from './worker-messages.ts'

/** How long a worker may take to answer: deriving keys and deleting a large account take a while. */
const ANSWER_MS = 60_000
/** How long a worker may take to let its clients go and write what they have asked for. */
const STOP_MS = 15_000

interface Question {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

/** How a process ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** One worker, from its start to its end. */
export class WorkerProcess {
  /** Resolves to its ports when it serves clients; rejects when it cannot. */
  readonly started: Promise<RunningServer['ports']>
  readonly ended: Promise<End>
  readonly #child: ChildProcess
  readonly #clock: Clock
  readonly #questions = new Map<number, Question>()
  #lastQuestion = 0
  #waitsFor: string | undefined

  constructor(start: WorkerStart, clock: Clock) {
    this.#clock = clock
    // The published package holds compiled files, whose names end in .js.
    const file = new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url)
    this.#child = fork(file, [WORKER_ARGUMENT], { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }))
      this.#child.once('error', () => this.#child.pid === undefined && resolve({ code: null, signal: null }))
    })
    this.started = new Promise((resolve, reject) => {
      this.#child.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') this.#tell(start)
        else if (message.kind === 'started') resolve(message.ports)
        else if (message.kind === 'waits') this.#waitsFor = message.reason
        else if (message.kind === 'failed') reject(errorOf(message.failure))
        else this.#take(message)
      })
      void this.ended.then(({ code, signal }) => reject(new Error(`${start.self.name} ended: ${signal ?? `exit code ${code}`}`)))
    })
    this.started.catch(() => undefined)
    void this.ended.then(() => {
      for (const id of this.#questions.keys()) this.#settle(id)?.reject(new Error(`${start.self.name} has ended`))
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Why it has not started yet, where it says so. */
  get waitsFor(): string | undefined {
    return this.#waitsFor
  }

  /** Asks something of it once it has started. */
  ask(question: WorkerQuestion, timeoutMs = ANSWER_MS): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#lastQuestion += 1
      const id = this.#lastQuestion
      const timer = this.#clock.after(timeoutMs, () => this.#settle(id)?.reject(new Error('a worker does not answer')))
      this.#questions.set(id, { resolve, reject, timer })
      this.#tell({ kind: 'ask', id, question })
    })
  }

  /** Lets it end in peace, or kills it when that takes too long; tells which. */
  async stop(): Promise<'ended' | 'killed'> {
    let how: 'ended' | 'killed' = 'ended'
    const timer = this.#clock.after(STOP_MS, () => {
      how = 'killed'
      this.kill()
    })
    this.#tell({ kind: 'stop' })
    await this.ended
    timer.cancel()
    return how
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #tell(message: ToWorker): void {
    // That it has gone is told by its end.
    if (this.#child.connected) this.#child.send(message, () => undefined)
  }

  #take(message: Extract<FromWorker, { kind: 'answer' | 'refusal' }>): void {
    const question = this.#settle(message.id)
    if (message.kind === 'answer') question?.resolve(message.result)
    else question?.reject(errorOf(message.failure))
  }

  #settle(id: number): Question | undefined {
    const question = this.#questions.get(id)
    this.#questions.delete(id)
    question?.timer.cancel()
    return question
  }
}

const errorOf = ({ message, isRefusal, syscall }: Failure): Error => {
  if (isRefusal) return new OperationError(message)
  return Object.assign(new Error(message), syscall === undefined ? {} : { syscall })
}
