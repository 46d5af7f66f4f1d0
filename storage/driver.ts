import type { Accounts, Documents, Expiring, Log } from './shapes.ts'

/** One group of writes that went to the database together, for whoever measures. */
export interface Commit {
  readonly operations: number
  /** From when it was sent off until everybody could be told. */
  readonly durationMs: number
  /** How many of the operations failed. */
  readonly failures: number
}

/** Is told of each commit. */
export interface CommitObserver {
  readonly monotonicMs: () => number
  readonly onCommit: (commit: Commit) => void
}

/** A database behind the four shapes. */
export interface Driver {
  readonly name: string
  readonly accounts: Accounts
  readonly log: Log
  /** The store of this name; names are `module/store`, and the same name opens the same data. */
  documents<T>(name: string): Documents<T>
  expiring<T>(name: string): Expiring<T>
  /** Resolves when the database answers and can write; rejects with the reason. */
  check(): Promise<void>
  /** Writes a consistent copy of everything to this path while the server runs. */
  backup?(path: string): Promise<void>
  /** Commits what is queued and closes. */
  close(): Promise<void>
}
