import type { Binary, Collection, Db, MongoClient, WriteConcern } from 'mongodb'

/** `s`, `t`: texts in the owner's archive, sent by it or come to it. `n`: what else is there. `u`, `v`: texts or not, there only to be delivered. */
export type LogKind = 's' | 't' | 'n' | 'u' | 'v'

/** An owner's entry of the log. Names are short, since every message carries them. */
export interface LogDocument {
  /** `owner id`, the id in hexadecimal. */
  readonly _id: string
  /** `owner kind peer`: conversations lie together, and by kind, so that those of texts are found without a look at the rest. */
  readonly c: string
  readonly k: LogKind
  /** Direction: 1 is in. */
  readonly d: 0 | 1
  /** There while it is pending. */
  readonly n?: true
  readonly t: number
  /** When its mark was taken off. */
  readonly a?: number
  readonly s: Binary
  /** The record's other owners, unless that is the peer alone. */
  readonly w?: readonly string[]
}

/** A document of a module: `owner store key`. */
export interface StoredDocument {
  readonly _id: string
  readonly r: number
  /** JSON; absent in one that is deleted together with others (see together.ts). */
  readonly v?: string
  /** The group it is written with, until that is done, and what it was before; see together.ts. */
  readonly g?: string
  readonly b?: { readonly v: string; readonly r: number } | null
}

/** `store key`. */
export interface ExpiringDocument {
  readonly _id: string
  readonly v: string
  /** When it ends, by the clock of the servers of XMPP. */
  readonly x: number
  /** From when the database may remove it, by its own clock. */
  readonly e: Date
}

/** `domain jid`. */
export interface AccountDocument {
  readonly _id: string
  readonly at: number
  /** JSON. */
  readonly c: string
  readonly off: boolean
  /** The call that made it, so that a call sent again knows its own work. */
  readonly r: number
}

/** What became of a group of writes; see together.ts. */
export interface GroupDocument {
  readonly _id: string
  readonly isDone: boolean
  /** From when a group that was given up is forgotten. */
  readonly e?: Date
}

/** `schema`, `migration`, and where the ids of the log stand. */
export interface MetaDocument {
  readonly _id: string
  readonly version?: number
  readonly oldest?: number
  readonly last?: number
  /** Of a migration: whether it is done, and what it finished last. */
  readonly isDone?: boolean
  readonly section?: string
  readonly name?: string
}

/** Everything the driver keeps, with the promise of its writes: a majority has them in its journal. */
export interface Collections {
  readonly client: MongoClient
  readonly db: Db
  readonly concern: WriteConcern
  /** How long a write may take that others wait for. */
  readonly answerMs: number
  readonly accounts: Collection<AccountDocument>
  readonly documents: Collection<StoredDocument>
  readonly expiring: Collection<ExpiringDocument>
  readonly groups: Collection<GroupDocument>
  readonly log: Collection<LogDocument>
  readonly meta: Collection<MetaDocument>
}

export const collectionsOf = (client: MongoClient, db: Db, concern: WriteConcern, answerMs: number): Collections => ({
  client,
  db,
  concern,
  answerMs,
  accounts: db.collection('accounts'),
  documents: db.collection('documents'),
  expiring: db.collection('expiring'),
  groups: db.collection('groups'),
  log: db.collection('log'),
  meta: db.collection('meta'),
})
