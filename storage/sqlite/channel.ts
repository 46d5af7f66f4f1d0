import type { BareJid } from '#stanzas/jid.ts'
import type { CommitObserver } from '../driver.ts'
import type { LogId, LogRecord } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import { Batch, Dictionary, type Done } from './batch.ts'
import { errorOf, type Failure } from './failure.ts'
import type { Port } from './port.ts'
import { type Answer, type BatchAnswer, type CallName, type Calls, MAX_KEPT_BYTES } from './protocol.ts'

const SMALLEST_BYTES = 64 * 1024

/**
 * The asking end of the writer. What one turn asks for goes off together at its end; while the writer commits, everything new is collected
 * and goes off as soon as it answers. So an idle store answers at once, and a busy one commits in groups as large as they need to be.
 */
export class Channel {
  readonly #port: Port
  readonly #observer: CommitObserver | undefined
  readonly #dictionary = new Dictionary()
  #collecting: Batch
  #committing: Batch | undefined
  #sentAtMs = 0
  /** The memory of the last batch, for the next but one. */
  #spare: ArrayBuffer | undefined
  #isScheduled = false
  /** Why nothing is taken in any more. */
  #refusal: StorageError | undefined
  #closed: Promise<void> | undefined
  readonly #backups: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []

  constructor(port: Port, observer?: CommitObserver) {
    this.#port = port
    this.#observer = observer
    this.#collecting = new Batch(this.#dictionary, new ArrayBuffer(SMALLEST_BYTES))
    port.listen({ answered: (answer) => this.#take(answer), ended: (reason) => this.#stop(reason) })
  }

  append(record: LogRecord, done: Done): void {
    const refusal = this.#refusal
    if (refusal !== undefined) return void setImmediate(() => done(refusal))
    this.#collecting.append(record, done)
    this.#schedule()
  }

  clearPending(owner: BareJid, id: LogId, takenAtMs: number): void {
    if (this.#refusal !== undefined) return
    this.#collecting.clearPending(owner, id, takenAtMs)
    this.#schedule()
  }

  read<N extends CallName>(name: N, ...args: Parameters<Calls[N]>): Promise<ReturnType<Calls[N]>> {
    return this.#call(false, name, args)
  }

  write<N extends CallName>(name: N, ...args: Parameters<Calls[N]>): Promise<ReturnType<Calls[N]>> {
    return this.#call(true, name, args)
  }

  async backup(path: string): Promise<void> {
    await this.write('flush')
    return new Promise((resolve, reject) => {
      this.#backups.push({ resolve, reject })
      this.#port.send({ kind: 'backup', path })
    })
  }

  /** Commits what is queued and ends the way to the writer, with the writer if it is this process's. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    if (this.#refusal !== undefined) return
    const last = this.write(this.#port.farewell)
    this.#refusal = new StorageError('the store is closed', { isTransient: false })
    await last
    await this.#port.close()
  }

  #call<N extends CallName>(isWrite: boolean, name: N, args: Parameters<Calls[N]>): Promise<ReturnType<Calls[N]>> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal)
    return new Promise((resolve, reject) => {
      // The protocol pairs each name with its result.
      this.#collecting.call({ name, args, isWrite }, { resolve: (value) => resolve(value as ReturnType<Calls[N]>), reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#committing !== undefined) return
    this.#isScheduled = true
    setImmediate(this.#postDue)
  }

  readonly #postDue = (): void => {
    this.#isScheduled = false
    if (this.#committing === undefined) this.#post()
  }

  #post(): void {
    const batch = this.#collecting
    const message = batch.message()
    this.#dictionary.trim()
    this.#committing = batch
    this.#sentAtMs = this.#observer?.monotonicMs() ?? 0
    this.#collecting = new Batch(this.#dictionary, this.#spare ?? new ArrayBuffer(SMALLEST_BYTES))
    this.#spare = undefined
    this.#port.send(message)
  }

  #take(answer: Answer): void {
    if (answer.kind === 'batch') this.#settle(answer)
    else if (answer.kind === 'backed-up') {
      const backup = this.#backups.shift()
      if (answer.failure === undefined) backup?.resolve()
      else backup?.reject(errorOf(answer.failure))
    }
  }

  #settle(answer: BatchAnswer): void {
    const batch = this.#committing
    const sentAtMs = this.#sentAtMs
    this.#committing = undefined
    if (answer.bytes.byteLength <= MAX_KEPT_BYTES) this.#spare = answer.bytes
    // The writer goes on while this thread tells who waited.
    if (!this.#collecting.isEmpty) this.#post()
    if (batch !== undefined) this.#observe(batch, answer, sentAtMs)
    batch?.settle(answer)
  }

  #observe({ writes: operations }: Batch, { failure, refused, results }: BatchAnswer, sentAtMs: number): void {
    if (this.#observer === undefined || operations === 0) return
    const { monotonicMs, onCommit } = this.#observer
    const single = refused.size + results.filter((result) => 'failure' in result).length
    onCommit({ operations, durationMs: monotonicMs() - sentAtMs, failures: failure === undefined ? single : operations })
  }

  #stop(error: StorageError): void {
    this.#refusal ??= error
    const failure: Failure = { message: error.message, isTransient: false }
    for (const batch of [this.#committing, this.#collecting]) batch?.settle({ failure, refused: new Map(), results: [] })
    this.#committing = undefined
    this.#collecting = new Batch(this.#dictionary, new ArrayBuffer(SMALLEST_BYTES))
    for (const { reject } of this.#backups.splice(0)) reject(error)
  }
}
