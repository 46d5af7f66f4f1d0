import type { AccountCalls } from './accounts.ts'
import type { DocumentCalls } from './documents.ts'
import type { ExpiringCalls } from './expiring.ts'
import type { Failure } from './failure.ts'
import type { LogCalls } from './log.ts'

/**
 * What passes between a channel and the writer. Log appends and cleared marks, which every message causes, are packed into one transferred
 * buffer; everything else is a list of calls, each placed after so many of the packed operations.
 */
export type Calls = AccountCalls &
  DocumentCalls &
  ExpiringCalls &
  LogCalls & {
    /** Writes, so that a full or failing disk is noticed. */
    check(): void
    /** Is answered when the batch it came with is durable. */
    flush(): void
    close(): void
  }
export type CallName = keyof Calls

/** Memory of a batch larger than this is given back instead of used again, at either end. */
export const MAX_KEPT_BYTES = 4 * 1024 * 1024

export interface Call {
  readonly name: CallName
  readonly args: readonly unknown[]
  readonly isWrite: boolean
  /** How many packed operations come before it. */
  readonly after: number
}

export interface BatchMessage {
  readonly kind: 'batch'
  readonly bytes: ArrayBuffer
  /** Where the operations are in them. */
  readonly start: number
  readonly length: number
  readonly operations: number
  /** The dictionary's new texts; `firstName` is the reference of the first, and 0 starts a new dictionary. */
  readonly firstName: number
  readonly names: readonly string[]
  readonly calls: readonly Call[]
}

export interface BackupMessage {
  readonly kind: 'backup'
  readonly path: string
}

export type Request = BatchMessage | BackupMessage

export type CallResult = { readonly value: unknown } | { readonly failure: Failure }

export interface BatchAnswer {
  readonly kind: 'batch'
  /** The request's buffer, to be used again. */
  readonly bytes: ArrayBuffer
  /** Why nothing of the batch was written. */
  readonly failure?: Failure
  /** Appends that were refused alone, by their place among the batch's appends. */
  readonly refused: ReadonlyMap<number, Failure>
  readonly results: readonly CallResult[]
}

export type Answer =
  | BatchAnswer
  | { readonly kind: 'opened' }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'backed-up'; readonly failure?: Failure }

/** A packed append: u8 kind | f64 id | u32 bytes of the record | the record. */
export const OPERATION_APPEND = 1
export const APPEND_HEADER_BYTES = 13
/** A packed mark to take off: u8 kind | f64 id | u32 owner | f64 takenAtMs. */
export const OPERATION_CLEAR = 2
export const CLEAR_BYTES = 21
