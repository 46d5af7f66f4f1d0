import type { Accounts, Documents, Expiring, Log } from './shapes.ts'

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
