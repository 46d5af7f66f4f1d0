import Sqlite from 'better-sqlite3'
import type { StoreInventory } from '../inventory.ts'
import { databasePath } from './database.ts'

/** Names everything that a data folder holds. The driver asks by name; who copies a whole database has to know the names first. */
export const sqliteInventory = (folder: string): StoreInventory => {
  const db = new Sqlite(databasePath(folder), { readonly: true, fileMustExist: true })
  const texts = (sql: string, ...values: readonly string[]): readonly string[] =>
    db
      .prepare<string[], { text: string }>(sql)
      .all(...values)
      .map(({ text }) => text)
  return {
    domains: texts('SELECT DISTINCT domain AS text FROM accounts ORDER BY text'),
    documentStores: texts('SELECT DISTINCT store AS text FROM documents ORDER BY text'),
    ownersOf: (store) => texts('SELECT DISTINCT owner AS text FROM documents WHERE store = ? ORDER BY text', store),
    expiringStores: texts('SELECT DISTINCT store AS text FROM expiring ORDER BY text'),
    // Owners and peers alike; those who own nothing have no entries.
    logOwners: texts('SELECT name AS text FROM names ORDER BY text'),
    close: () => void db.close(),
  }
}
