import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { StorageError } from '../storage-error.ts'
import { type Migration, migrations } from './migrations/index.ts'

export type Database = Sqlite.Database

export interface DatabaseOptions {
  /** The data folder; made when it is missing. */
  readonly folder: string
  /** `relaxed` leaves syncing to the operating system, so that a power cut (not a crash of the process) may lose the last commits. */
  readonly durability: 'full' | 'relaxed'
  /** Refuses to grow past this many pages of 4 KiB, as a full disk does. */
  readonly maxPages?: number
}

/** How long a command-line edit and the server wait for each other's commits. */
const BUSY_TIMEOUT_MS = 10_000
/** 8 MiB of log: a checkpoint then costs some 10 ms and rewrites a hot page once, not ten times. */
const CHECKPOINT_PAGES = 2000
const JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024
const CACHE_KIB = 32 * 1024

export const databasePath = (folder: string): string => join(folder, 'waxwing.db')

/** Opens the database of a data folder and brings its schema up to date. */
export const openDatabase = ({ folder, durability, maxPages }: DatabaseOptions): Database => {
  // Credentials and messages: for the server's own account only.
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const db = new Sqlite(databasePath(folder))
  try {
    db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
    db.exec('PRAGMA page_size = 4096')
    db.exec('PRAGMA journal_mode = WAL')
    db.exec(`PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'}`)
    db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
    db.exec(`PRAGMA journal_size_limit = ${JOURNAL_LIMIT_BYTES}`)
    db.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
    migrate(db, migrations)
    if (maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${maxPages}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Applies the migrations that a database does not have yet; refuses one that a newer version has written. */
export const migrate = (db: Database, steps: readonly Migration[]): void => {
  db.exec('BEGIN IMMEDIATE')
  try {
    db.exec('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, title TEXT NOT NULL)')
    const found =
      db.prepare<[], { version: number }>('SELECT coalesce(max(version), 0) AS version FROM schema_version').get()?.version ?? 0
    if (found > steps.length)
      throw new StorageError(
        `the database has schema version ${found}, and this version of the server knows ${steps.length}: run the newer version, or restore a backup made before the upgrade`,
        { isTransient: false },
      )
    const note = db.prepare<[number, string]>('INSERT INTO schema_version VALUES (?, ?)')
    for (const [index, { title, sql, run }] of steps.entries()) {
      if (index < found) continue
      db.exec(sql)
      run?.(db)
      note.run(index + 1, title)
    }
    db.exec('COMMIT')
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK')
    throw error
  }
}
