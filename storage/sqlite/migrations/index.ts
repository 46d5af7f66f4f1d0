import type { Database } from '../database.ts'
import { initial } from './0001-initial.ts'
import { archive } from './0002-archive.ts'
import { conversations } from './0003-conversations.ts'

export interface Migration {
  readonly title: string
  readonly sql: string
  /** What SQL has no words for, done after it in the same transaction. */
  readonly run?: (db: Database) => void
}

/** Every step from an empty file to this version's schema; a step's number is its place in the list, from 1. */
export const migrations: readonly Migration[] = [initial, archive, conversations]
