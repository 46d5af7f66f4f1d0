import type { Expiring } from '../shapes.ts'
import { checkTextKey, toJson } from '../text-key.ts'
import type { Channel } from './channel.ts'
import type { Database } from './database.ts'

/** An expiring value as the table keeps it; the value is JSON. */
export interface ExpiringRow {
  readonly key: string
  readonly value: string
  readonly expires_ms: number
}

/** The writer's side of expiring values; it has no clock of its own, so each call brings the time. */
export interface ExpiringCalls {
  'expiring-get'(store: string, key: string, nowMs: number): string | undefined
  'expiring-put'(store: string, key: string, value: string, expiresAtMs: number, nowMs: number): void
  'expiring-take'(store: string, key: string, nowMs: number): string | undefined
  'expiring-delete'(store: string, key: string, nowMs: number): boolean
  'expiring-list'(store: string, prefix: string, nowMs: number): ExpiringRow[]
}

/** Ended values are swept out with every so many puts, at most so many at once: more than come in, too few to be felt. */
const PUTS_PER_SWEEP = 64
const ROWS_PER_SWEEP = 512

export const expiringCalls = (db: Database): ExpiringCalls => {
  const get = db.prepare<[string, string], ExpiringRow>('SELECT key, value, expires_ms FROM expiring WHERE store = ? AND key = ?')
  const upsert = db.prepare(
    `INSERT INTO expiring (store, key, value, expires_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms`,
  )
  const remove = db.prepare('DELETE FROM expiring WHERE store = ? AND key = ?')
  const from = db.prepare<[string, string], ExpiringRow>(
    'SELECT key, value, expires_ms FROM expiring WHERE store = ? AND key >= ? ORDER BY key',
  )
  const sweep = db.prepare(
    'DELETE FROM expiring WHERE (store, key) IN (SELECT store, key FROM expiring WHERE expires_ms <= ? LIMIT ?)',
  )
  let putsUntilSweep = 0

  const living = (store: string, key: string, nowMs: number): string | undefined => {
    const row = get.get(store, key)
    return row !== undefined && row.expires_ms > nowMs ? row.value : undefined
  }
  return {
    'expiring-get': living,
    'expiring-put'(store, key, value, expiresAtMs, nowMs) {
      upsert.run(store, key, value, expiresAtMs)
      putsUntilSweep -= 1
      if (putsUntilSweep > 0) return
      putsUntilSweep = PUTS_PER_SWEEP
      sweep.run(nowMs, ROWS_PER_SWEEP)
    },
    'expiring-take'(store, key, nowMs) {
      const value = living(store, key, nowMs)
      remove.run(store, key)
      return value
    },
    'expiring-delete'(store, key, nowMs) {
      const isLiving = living(store, key, nowMs) !== undefined
      remove.run(store, key)
      return isLiving
    },
    'expiring-list'(store, prefix, nowMs) {
      const rows: ExpiringRow[] = []
      for (const row of from.iterate(store, prefix)) {
        if (!row.key.startsWith(prefix)) break
        if (row.expires_ms > nowMs) rows.push(row)
      }
      return rows
    },
  }
}

/** Expiring values as modules see them. */
export const sqliteExpiring = <T>(channel: Channel, store: string, nowMs: () => number): Expiring<T> => ({
  async get(key) {
    return parsed<T>(await channel.read('expiring-get', store, checkTextKey(key), nowMs()))
  },
  async put(key, value, expiresAtMs) {
    return channel.write('expiring-put', store, checkTextKey(key), toJson(value), expiresAtMs, nowMs())
  },
  async take(key) {
    return parsed<T>(await channel.write('expiring-take', store, checkTextKey(key), nowMs()))
  },
  async delete(key) {
    return channel.write('expiring-delete', store, checkTextKey(key), nowMs())
  },
  async list(prefix) {
    const rows = await channel.read('expiring-list', store, checkTextKey(prefix), nowMs())
    return rows.map(({ key, value, expires_ms }) => ({ key, value: JSON.parse(value), expiresAtMs: expires_ms }))
  },
})

const parsed = <T>(json: string | undefined): T | undefined => (json === undefined ? undefined : JSON.parse(json))
