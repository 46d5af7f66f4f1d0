import type { Logger } from '#server/base/log.ts'
import { type Invite, OperationError } from '#server/base/operations.ts'
import type { Accounts } from '#server/core/accounts.ts'
import { type Address, type BareJid, makeJid, parseJid } from '#stanzas/jid.ts'
import type { Invitation, Invitations } from './invitations.ts'
import { invitationUri } from './links.ts'

/** What the inviter needs of the server. */
export interface InviterOptions {
  readonly invitations: Invitations
  readonly accounts: Accounts
  readonly domain: Address
  readonly log: Logger
  readonly lifetimeMs: number
  /** How many invitations of one account may wait to be used. */
  readonly maxPerAccount: number
  /** Whether an account can be made by anyone but the operator. */
  readonly mayRegister: boolean
  readonly linkUrl: () => string | undefined
}

/** Makes invitations. What it refuses is an `OperationError`. */
export class Inviter {
  readonly #options: InviterOptions

  constructor(options: InviterOptions) {
    this.#options = options
  }

  /** Invites somebody to become a contact of the account, and to make an account if that is allowed. */
  async toContact(inviter: BareJid, allowsRegistration: boolean, lifetimeMs?: number): Promise<Invite> {
    const { accounts, domain, mayRegister } = this.#options
    if (parseJid(inviter)?.domainpart !== domain.domainpart || !(await accounts.exists(inviter)))
      throw new OperationError(`${inviter} is no account of this server.`)
    return this.#create({ kind: 'contact', inviter, allowsRegistration: allowsRegistration && mayRegister }, lifetimeMs)
  }

  /** Invites somebody to make an account, of this name if one is given, and to become a contact of the inviter if there is one. */
  async toAccount(name: string | undefined, inviter?: BareJid, lifetimeMs?: number): Promise<Invite> {
    const { accounts, domain, mayRegister } = this.#options
    if (!mayRegister) throw new OperationError('Registration is closed on this server.')
    const wanted = { kind: 'account', allowsRegistration: true, ...(inviter === undefined ? {} : { inviter }) } as const
    if (name === undefined) return this.#create(wanted, lifetimeMs)
    const jid = name === '' ? undefined : makeJid(name, domain.jid)
    if (jid === undefined) throw new OperationError(`${name} is no name an account can have.`)
    if (await accounts.exists(jid.bare)) throw new OperationError(`${jid.bare} is there already.`)
    return this.#create({ ...wanted, localpart: jid.localpart }, lifetimeMs)
  }

  async #create(
    wanted: Omit<Invitation, 'token' | 'expiresAtMs'>,
    lifetimeMs: number = this.#options.lifetimeMs,
  ): Promise<Invite> {
    const { invitations, domain, log, maxPerAccount, linkUrl } = this.#options
    const { kind, inviter } = wanted
    if (inviter !== undefined && (await invitations.countOf(inviter)) >= maxPerAccount)
      throw new OperationError(`${inviter} has ${maxPerAccount} invitations that nobody has used yet.`)
    const invitation = await invitations.create(wanted, lifetimeMs)
    log.info('invitation-made', { kind, inviter })
    const { token, expiresAtMs } = invitation
    const base = linkUrl()
    const url = base === undefined ? {} : { url: `${base}/invite/${token}` }
    return { uri: invitationUri(invitation, domain), ...url, token, expiresAtMs }
  }
}
