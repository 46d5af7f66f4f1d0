import type { StorageError } from '../storage-error.ts'
import type { Answer, Request } from './protocol.ts'

/** Who takes what comes back through a port. */
export interface PortEvents {
  answered(answer: Answer): void
  /** Nothing comes back any more, and why. */
  ended(reason: StorageError): void
}

/** The way to the writer and back, wherever it runs. It answers batches in the order in which they were sent. */
export interface Port {
  /** What it is asked last: who owns the writer closes the store, others see that it has all of theirs. */
  readonly farewell: 'close' | 'flush'
  /** Says who takes answers; once, before anything is sent. */
  listen(events: PortEvents): void
  /** Sends; the memory of a batch is the port's until its answer brings it back. */
  send(request: Request): void
  /** Ends the way when the last answer is there; resolves when it has ended. */
  close(): Promise<void>
}
