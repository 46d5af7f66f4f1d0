import type { BareJid } from '#stanzas/jid.ts'
import type { Wire } from '#stanzas/wire.ts'

/**
 * The four shapes that modules may ask for. Two drivers keep them (memory for tests, sqlite by default; more later), one contract suite proves each.
 * A promise of a write resolves when the write is durable, and rejects with a `StorageError`. Reads see every write that was called before them.
 */

/** SCRAM keys of one hash function (RFC 5802 §3); salt and keys are base64. */
export interface ScramKeys {
  readonly salt: string
  readonly iterations: number
  readonly storedKey: string
  readonly serverKey: string
}

export type ScramHash = 'SHA-1' | 'SHA-256' | 'SHA-512'

/** What an account proves its password against: SCRAM keys, or a bcrypt hash it was brought in with until its first login. */
export interface Credentials {
  readonly scram: Readonly<Partial<Record<ScramHash, ScramKeys>>>
  readonly bcrypt?: string
}

export interface Account {
  readonly jid: BareJid
  readonly createdAtMs: number
  readonly credentials: Credentials
  /** A disabled account cannot log in but keeps what it has. */
  readonly isDisabled: boolean
}

export interface Accounts {
  get(jid: BareJid): Promise<Account | undefined>
  /** Adds the account; `false`, and nothing changed, when there is one already. */
  create(account: Account): Promise<boolean>
  /** Replaces credentials or the disabled mark; `false` when there is no such account. */
  update(jid: BareJid, change: { readonly credentials?: Credentials; readonly isDisabled?: boolean }): Promise<boolean>
  delete(jid: BareJid): Promise<boolean>
  /** Accounts of a domain in JID order, after the given one. */
  list(domain: string, page?: { readonly after?: BareJid; readonly limit?: number }): Promise<readonly Account[]>
  count(domain: string): Promise<number>
}

/** A document and the revision that `putIf` compares; revisions are opaque. */
export interface Revised<T> {
  readonly key: string
  readonly value: T
  readonly revision: number
}

/** JSON values by owner and key. An owner is a bare JID or a name of the module's own. */
export interface Documents<T> {
  get(owner: string, key: string): Promise<T | undefined>
  getRevised(owner: string, key: string): Promise<Revised<T> | undefined>
  put(owner: string, key: string, value: T): Promise<void>
  /** Writes only when the stored revision is still this one (`undefined`: only when there is none); tells whether it did. */
  putIf(owner: string, key: string, value: T, revision: number | undefined): Promise<boolean>
  /** Several writes and deletions (`value: undefined`) of one owner, all or nothing. */
  putAll(owner: string, changes: readonly { readonly key: string; readonly value: T | undefined }[]): Promise<void>
  delete(owner: string, key: string): Promise<boolean>
  /** An owner's documents in key order (code points), after the given key. */
  list(owner: string, page?: { readonly after?: string; readonly limit?: number }): Promise<readonly Revised<T>[]>
  deleteOwner(owner: string): Promise<void>
}

/** Values that end by themselves: tokens, invitations, resume records. */
export interface Expiring<T> {
  get(key: string): Promise<T | undefined>
  put(key: string, value: T, expiresAtMs: number): Promise<void>
  /** Reads and removes in one step, so that of two takers one gets it. */
  take(key: string): Promise<T | undefined>
  delete(key: string): Promise<boolean>
  list(prefix: string): Promise<readonly { readonly key: string; readonly value: T; readonly expiresAtMs: number }[]>
}

/**
 * A place in the log: a safe integer that grows with time, is unique in the fleet and never used again. Several processes give them, so an append may come behind one of a higher id;
 * it is in its place all the same.
 * On the wire it is written by `logIdToText`.
 */
export type LogId = number

/** One account's view of a record. A message between two local accounts is one record with two places. */
export interface LogPlace {
  readonly owner: BareJid
  /** The other party's bare JID. */
  readonly peer: string
  readonly direction: 'in' | 'out'
  /** Whether no device of the owner has taken it yet. */
  readonly isPending: boolean
  /** Whether it is there only to be delivered: no part of the owner's archive, and removed when its mark is taken off. */
  readonly isTransient: boolean
}

export interface LogRecord {
  readonly id: LogId
  readonly atMs: number
  /** The whole stanza as it is to be delivered, without the stanza-id of any one place. */
  readonly stanza: Wire
  /** Whether it is what people call a message, so that it counts as unread; receipts, markers and the like are not. */
  readonly isText: boolean
  readonly places: readonly LogPlace[]
}

export interface LogEntry {
  readonly id: LogId
  readonly atMs: number
  readonly stanza: Wire
  readonly owner: BareJid
  readonly peer: string
  readonly direction: 'in' | 'out'
  readonly isPending: boolean
  readonly isTransient: boolean
  readonly isText: boolean
  /** When its mark was taken off; `undefined` while it is pending, and for an entry that never was. */
  readonly takenAtMs: number | undefined
}

/** Which of an owner's entries; both ids are excluded, both times included. */
export interface LogFilter {
  readonly after?: LogId
  readonly before?: LogId
  readonly fromMs?: number
  readonly untilMs?: number
  readonly peer?: string
  readonly direction?: 'in' | 'out'
  readonly isText?: boolean
  readonly isTransient?: boolean
}

/** How much is read at once. */
export interface LogPageSize {
  readonly limit: number
  /**
   * A driver may end the page behind the entry with which its stanzas have so many bytes together, though there are more; never in front of it.
   * A thousand of the largest stanzas would fill the memory.
   */
  readonly maxBytes?: number
}

export interface LogQuery extends LogFilter, LogPageSize {
  /** Newest first. */
  readonly backwards?: boolean
}

/** An owner's texts with one peer: the newest of them, and the newest that is the owner's own; 0 when there is none. */
export interface LogConversation {
  readonly peer: string
  readonly last: LogId
  readonly answered: LogId
}

/** How far an owner has read a conversation; 0 is nothing of it. */
export interface LogReading {
  readonly peer: string
  readonly after: LogId
}

/** Append-only records by owner, with marks for those no device has taken. The hot path: every message passes `append`. */
export interface Log {
  /**
   * Adds a record to the batch that is committed next (one commit is under way at a time; what arrives meanwhile is the next batch).
   * Calls `done` when the record is durable, or with the error when it will never be; in the order of the appends.
   */
  append(record: LogRecord, done: (error?: Error) => void): void
  /** Takes the pending mark off, and removes the entry when it is transient; written with the next batch. Unknown marks are ignored. */
  clearPending(owner: BareJid, id: LogId, takenAtMs: number): void
  /** The owner's pending entries, oldest first. */
  pending(owner: BareJid, page: LogPageSize & { readonly after?: LogId }): Promise<readonly LogEntry[]>
  /** How many are pending. */
  countPending(owner: BareJid): Promise<number>
  get(owner: BareJid, id: LogId): Promise<LogEntry | undefined>
  range(owner: BareJid, query: LogQuery): Promise<readonly LogEntry[]>
  /** How many entries the filter lets through; costs a step for each entry of the owner (of the peer, if one is named) between `after` and `before`. */
  count(owner: BareJid, filter: LogFilter): Promise<number>
  /**
   * The owner's conversations by their newest text (entries with `isText` that are not transient), the newest first, from those whose newest is below `before`.
   * Receipts and markers are no reason to be in front.
   */
  conversations(owner: BareJid, page: { readonly before?: LogId; readonly limit: number }): Promise<readonly LogConversation[]>
  /** How many texts each of these peers, all different ones, has sent behind what was read; in their order, and for little, however many there are. */
  unread(owner: BareJid, readings: readonly LogReading[]): Promise<readonly number[]>
  /**
   * Entries whose text has all these words (whole or by their beginning, in any case; the first 32 count), chosen and ordered like `range`.
   * Without a word nothing is found.
   */
  search(owner: BareJid, words: string, query: LogQuery): Promise<readonly LogEntry[]>
  /** Puts another stanza in the place of a record's, for every owner who has it; `false` when this owner has no such entry. */
  replace(owner: BareJid, id: LogId, stanza: Wire): Promise<boolean>
  /** Removes an owner's entries that are older and not pending; at most `limit` at once, returns how many. */
  expire(owner: BareJid, beforeMs: number, limit: number): Promise<number>
  delete(owner: BareJid, ids: readonly LogId[]): Promise<void>
  deleteOwner(owner: BareJid): Promise<void>
  /** The highest id in the log, 0 when it is empty: where a new process starts to count. */
  lastId(): Promise<LogId>
  /** Resolves when everything appended or cleared so far is durable. */
  flush(): Promise<void>
}

/** What a module writes under `stores` to have a store opened for it. The type parameter is what it keeps. */
export interface DocumentsShape<T> {
  readonly shape: 'documents'
  readonly holds?: T
}
export interface ExpiringShape<T> {
  readonly shape: 'expiring'
  readonly holds?: T
}
export type Shape = DocumentsShape<unknown> | ExpiringShape<unknown>

export const documents = <T>(): DocumentsShape<T> => ({ shape: 'documents' })
export const expiring = <T>(): ExpiringShape<T> => ({ shape: 'expiring' })
