import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { StorageError } from '../storage-error.ts'

/** How long a server that starts waits for one that is just ending. */
const WAIT_MS = 500

/**
 * Makes this the only process that uses the log, whose newest part is indexed in memory; accounts and documents may be edited beside it.
 * The lock is SQLite's own on an empty file beside the database, so it ends with the process, however that ends.
 */
export const lockLog = (folder: string): { release(): void } => {
  const lock = new Sqlite(join(folder, 'log.lock'), { timeout: WAIT_MS })
  try {
    lock.exec('PRAGMA journal_mode = MEMORY')
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    throw new StorageError(`another process is using the message log in ${folder}`, { isTransient: true, cause: error })
  }
  return { release: () => void lock.close() }
}
