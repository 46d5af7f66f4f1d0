import type { Driver } from '../driver.ts'
import type { Accounts, Documents, Expiring, Log } from '../shapes.ts'
import { memoryAccounts } from './accounts.ts'
import { CommitQueue } from './commit-queue.ts'
import { DocumentShelf, memoryDocuments } from './documents.ts'
import { type ExpiringShelf, memoryExpiring } from './expiring.ts'
import { memoryLog } from './log.ts'

/** Keeps everything in this process's memory, committing on the next turn in order, so that tests meet a database's timing. */
export class MemoryDriver implements Driver {
  readonly name = 'memory'
  readonly accounts: Accounts
  readonly log: Log
  readonly #queue = new CommitQueue()
  readonly #documents = new Map<string, DocumentShelf>()
  readonly #expiring = new Map<string, ExpiringShelf>()
  readonly #nowMs: () => number

  constructor({ nowMs }: { readonly nowMs: () => number }) {
    this.#nowMs = nowMs
    this.accounts = memoryAccounts(this.#queue)
    this.log = memoryLog(this.#queue)
  }

  documents<T>(name: string): Documents<T> {
    const shelf = this.#documents.get(name) ?? new DocumentShelf()
    this.#documents.set(name, shelf)
    return memoryDocuments<T>(this.#queue, shelf)
  }

  expiring<T>(name: string): Expiring<T> {
    const shelf: ExpiringShelf = this.#expiring.get(name) ?? new Map()
    this.#expiring.set(name, shelf)
    return memoryExpiring<T>(this.#queue, shelf, this.#nowMs)
  }

  check(): Promise<void> {
    return this.#queue.write(() => undefined)
  }

  close(): Promise<void> {
    return this.#queue.close()
  }

  /** Makes the next commit with a write in it fail with this error. */
  failNext(error: Error): void {
    this.#queue.failNext(error)
  }

  /** Commits and answers nothing until `release`. */
  hold(): void {
    this.#queue.hold()
  }

  /** Commits what was held back, on the next turn. */
  release(): void {
    this.#queue.release()
  }
}
