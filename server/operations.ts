import { type BareJid, parseJid } from '#stanzas/jid.ts'
import type { Assembly } from './assembly.ts'
import type { Config } from './base/config.ts'
import { type DrainOperations, type Invite, type InviteRequest, OperationError, type Operations } from './base/operations.ts'
import type { HostFacts } from './core/module.ts'

/** What the module `invites` offers to others, as far as the command line needs it. */
export interface InviteMaker {
  create(request: InviteRequest): Promise<Invite>
}

const REASONS: Readonly<Record<string, string>> = {
  exists: 'there is such an account already',
  'no-account': 'there is no such account',
  'invalid-jid': 'this is no name an account can have',
  'invalid-password': 'the password is empty or has characters that none may have',
  'invalid-hash': 'this is no bcrypt hash',
  busy: 'the server is busy; try again',
}

const check = (outcome: string, jid: string, wanted: string): void => {
  if (outcome !== wanted) throw new OperationError(`${jid}: ${REASONS[outcome] ?? outcome}.`)
}

/** How many accounts are read at once when all are listed. */
const PAGE = 500

/** What the command line may do, on a server that runs or on the store of one that does not. */
export const operationsOf = (
  assembly: Assembly,
  config: Config,
  host: HostFacts,
  isRunning: boolean,
): Omit<Operations, keyof DrainOperations> => {
  const { accounts, devices, sessions } = assembly
  const accountOf = (text: string): BareJid => {
    const jid = parseJid(text)
    if (jid === undefined || jid.localpart === '' || jid.resourcepart !== '') throw new OperationError(`${text} is no account.`)
    if (jid.domainpart !== config.domain) throw new OperationError(`${text}: this server serves ${config.domain}.`)
    return jid.bare
  }
  const existing = async (text: string): Promise<BareJid> => {
    const account = accountOf(text)
    check((await accounts.exists(account)) ? 'found' : 'no-account', text, 'found')
    return account
  }
  return {
    async addAccount(jid, password) {
      check(await accounts.create(accountOf(jid), password), jid, 'created')
    },
    async importAccount(jid, bcryptHash) {
      check(await accounts.importBcrypt(accountOf(jid), bcryptHash), jid, 'created')
    },
    async deleteAccount(jid) {
      check((await accounts.delete(accountOf(jid))) ? 'deleted' : 'no-account', jid, 'deleted')
    },
    async setPassword(jid, password) {
      check(await accounts.setPassword(accountOf(jid), password), jid, 'changed')
    },
    async setDisabled(jid, isDisabled) {
      check((await accounts.setDisabled(accountOf(jid), isDisabled)) ? 'changed' : 'no-account', jid, 'changed')
    },
    async listAccounts() {
      const all: { readonly jid: string; readonly createdAtMs: number; readonly isDisabled: boolean }[] = []
      for (let after: BareJid | undefined; ; ) {
        const page = await accounts.list(config.domain, { limit: PAGE, ...(after === undefined ? {} : { after }) })
        for (const { jid, createdAtMs, isDisabled } of page) all.push({ jid, createdAtMs, isDisabled })
        after = page.at(-1)?.jid
        if (page.length < PAGE) return all
      }
    },
    async listDevices(jid) {
      const account = await existing(jid)
      const clients = await assembly.clientsOf(account)
      return clients.map(({ id, software, device, lastSeenMs, isConnected, knowsPassword, hasToken }) => ({
        id,
        ...(software === undefined ? {} : { software }),
        ...(device === undefined ? {} : { device }),
        lastSeenMs,
        isConnected,
        knowsPassword,
        hasToken,
      }))
    },
    async revokeDevice(jid, id) {
      const account = await existing(jid)
      const clients = await assembly.clientsOf(account)
      const client = clients.find((each) => each.id === id)
      if (client === undefined) throw new OperationError(`${jid} has no client ${id}.`)
      if (!client.isNamed)
        throw new OperationError(`${id} does not say which client it is; a new password for ${jid} puts it out.`)
      await devices.revoke(account, id)
      return { knowsPassword: client.knowsPassword }
    },
    createInvite(request) {
      const invites = assembly.apis.get('invites') as InviteMaker | undefined
      if (invites === undefined) throw new OperationError('this server makes no invitations.')
      return invites.create(request)
    },
    async status() {
      return {
        version: host.version,
        domain: config.domain,
        isRunning,
        sessions: sessions.count,
        accounts: await accounts.count(config.domain),
        ...(isRunning ? { startedAtMs: host.startedAtMs } : {}),
      }
    },
  }
}
