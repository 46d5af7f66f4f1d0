import type { BareJid } from '#stanzas/jid.ts'
import type { Account, Accounts } from '../shapes.ts'
import { checkTextKey, domainOf } from '../text-key.ts'
import type { Channel } from './channel.ts'
import type { Database } from './database.ts'

/** An account as the table keeps it; the credentials are JSON. */
export interface AccountRow {
  readonly jid: BareJid
  readonly created_ms: number
  readonly is_disabled: number
  readonly credentials: string
}

/** The writer's side of accounts. */
export interface AccountCalls {
  'account-get'(jid: string): AccountRow | undefined
  'account-create'(jid: string, createdAtMs: number, isDisabled: boolean, credentials: string): boolean
  'account-update'(jid: string, isDisabled: boolean | undefined, credentials: string | undefined): boolean
  'account-delete'(jid: string): boolean
  'account-list'(domain: string, after: string, limit: number): AccountRow[]
  'account-count'(domain: string): number
}

const COLUMNS = 'jid, created_ms, is_disabled, credentials'

export const accountCalls = (db: Database): AccountCalls => {
  const get = db.prepare<[string, string], AccountRow>(`SELECT ${COLUMNS} FROM accounts WHERE domain = ? AND jid = ?`)
  const create = db.prepare(`INSERT INTO accounts (domain, ${COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
  const update = db.prepare(
    'UPDATE accounts SET is_disabled = coalesce(?, is_disabled), credentials = coalesce(?, credentials) WHERE domain = ? AND jid = ?',
  )
  const remove = db.prepare('DELETE FROM accounts WHERE domain = ? AND jid = ?')
  const list = db.prepare<[string, string, number], AccountRow>(
    `SELECT ${COLUMNS} FROM accounts WHERE domain = ? AND jid > ? ORDER BY jid LIMIT ?`,
  )
  const count = db.prepare<[string], { count: number }>('SELECT count(*) AS count FROM accounts WHERE domain = ?')
  return {
    'account-get': (jid) => get.get(domainOf(jid), jid),
    'account-create': (jid, createdAtMs, isDisabled, credentials) =>
      create.run(domainOf(jid), jid, createdAtMs, isDisabled ? 1 : 0, credentials).changes === 1,
    'account-update': (jid, isDisabled, credentials) =>
      update.run(isDisabled === undefined ? null : Number(isDisabled), credentials ?? null, domainOf(jid), jid).changes === 1,
    'account-delete': (jid) => remove.run(domainOf(jid), jid).changes === 1,
    'account-list': (domain, after, limit) => list.all(domain, after, limit),
    'account-count': (domain) => count.get(domain)?.count ?? 0,
  }
}

const accountOf = (row: AccountRow): Account => ({
  jid: row.jid,
  createdAtMs: row.created_ms,
  credentials: JSON.parse(row.credentials),
  isDisabled: row.is_disabled !== 0,
})

/** Accounts as modules see them. */
export const sqliteAccounts = (channel: Channel): Accounts => ({
  async get(jid) {
    const row = await channel.read('account-get', checkTextKey(jid))
    return row && accountOf(row)
  },
  async create({ jid, createdAtMs, isDisabled, credentials }) {
    return channel.write('account-create', checkTextKey(jid), createdAtMs, isDisabled, JSON.stringify(credentials))
  },
  update: (jid, { isDisabled, credentials }) =>
    channel.write('account-update', jid, isDisabled, credentials && JSON.stringify(credentials)),
  delete: (jid) => channel.write('account-delete', jid),
  async list(domain, { after = '', limit = NO_LIMIT } = {}) {
    return (await channel.read('account-list', domain, after, limit)).map(accountOf)
  },
  count: (domain) => channel.read('account-count', domain),
})

/** SQLite's word for no limit. */
const NO_LIMIT = -1
