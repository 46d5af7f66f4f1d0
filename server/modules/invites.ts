import type { Invite, InviteRequest } from '#server/base/operations.ts'
import { RateLimit } from '#server/base/rate-limit.ts'
import { choice, duration, integer } from '#server/base/schema.ts'
import type { Passage } from '#server/core/hooks.ts'
import { guard, observe } from '#server/core/hooks.ts'
import { networkOf } from '#server/core/login-throttle.ts'
import { defineModule, onVisitorIq, type Visitor } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { presence } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { expiring } from '#storage/shapes.ts'
import { commands } from './commands.ts'
import { type Invitation, Invitations } from './invites/invitations.ts'
import { type InvitePermissions, inviteCommands } from './invites/invite-commands.ts'
import { Inviter } from './invites/inviter.ts'
import { landingPage } from './invites/landing-page.ts'
import { invitationUri } from './invites/links.ts'
import { type Permit, registration } from './registration.ts'
import { roster } from './roster.ts'
import { subscriptions } from './subscriptions.ts'

const NS_PARS = 'urn:xmpp:pars:0'
const OFFER = el('urn:xmpp:ibr-token:0', 'register')

/** Tokens that are none, from one network: nobody mistypes more, and a guess would take for ever. */
const MISSES = { burst: 30, perMs: 60_000 }

/** Whom an account gets as its contact, and whether its devices hear that this was granted. */
interface Joining {
  readonly other: BareJid
  readonly isTold: boolean
}

/** What modules and the command line may do with invitations. */
export interface InvitesApi {
  /** Makes an invitation with the operator's authority; throws an `OperationError`. */
  create(request: InviteRequest): Promise<Invite>
  /** The invitation of a token that can still be used. */
  peek(token: string): Promise<Invitation | undefined>
  /** Makes the guest a contact of whoever gave out the token, and uses it up; `false` when it is not good for that. */
  redeem(token: string, inviter: Address, guest: Address): Promise<boolean>
}

/** Invites people: to an account of their own, to become a contact, or both at once. */
export const invites = defineModule({
  name: 'invites',
  summary: 'Makes invitation links, with a page for browsers, to make an account or to become a contact.',
  xeps: { 'XEP-0379': '0.3.3', 'XEP-0401': '0.6.0', 'XEP-0445': '0.2.0' },
  config: {
    lifetime: duration('7d', { min: '1m', max: '365d', doc: 'How long an invitation holds unless it says otherwise.' }),
    contactsBy: choice(['everyone', 'admins'], { default: 'everyone', doc: 'Who may invite others to become their contact.' }),
    accountsBy: choice(['everyone', 'admins'], {
      default: 'admins',
      doc: 'Who may let others make an account, by an invitation of its own or along with the invitation to become a contact.',
    }),
    perAccount: integer({ default: 100, min: 1, doc: 'How many invitations of one account may wait to be used.' }),
  },
  stores: { invitations: expiring<Invitation>(), issued: expiring<true>(), reserved: expiring<true>() },
  needs: { commands, registration, roster, subscriptions },

  start({ config, stores, needs, host, domain, accounts, sessions, clock, log, callHome }) {
    const invitations = new Invitations(stores, clock)
    const misses = new RateLimit(MISSES, clock)
    const mayRegister = needs.registration.mode !== 'closed'

    const inviter = new Inviter({
      invitations,
      accounts,
      domain,
      log,
      lifetimeMs: config.lifetime,
      maxPerAccount: config.perAccount,
      mayRegister,
      linkUrl: host.linkUrl,
    })

    /** Registration may have been closed since the invitation was made. */
    const peek = async (token: string): Promise<Invitation | undefined> => {
      const invitation = await invitations.peek(token)
      if (invitation === undefined || mayRegister) return invitation
      return invitation.kind === 'account' ? undefined : { ...invitation, allowsRegistration: false }
    }

    /** The other one is in the roster, subscribed both ways, with the name and groups it had; what either had asked is answered by that. */
    const join = (account: BareJid, { other, isTold }: Joining): Promise<void> =>
      needs.roster.change(account, other, ({ version, item: { name, groups } = {} }) => ({
        next: {
          version,
          item: { ...(name === undefined ? {} : { name }), ...(groups === undefined ? {} : { groups }), subscription: 'both' },
        },
        beforePush() {
          if (!isTold) return
          for (const session of sessions.of(account))
            if (session.isAvailable) session.send(presence({ from: parseJid(other), to: session.address, type: 'subscribed' }))
        },
      }))

    /** Both see each other from now on; each device hears of it by a roster push (XEP-0401 §5.5). */
    const befriend = async (own: Address, guest: Address, isTold = false): Promise<void> => {
      const told: Joining = { other: own.bare, isTold }
      const quiet: Joining = { other: guest.bare, isTold: false }
      await callHome(own.bare, 'invites.join', JSON.stringify(quiet))
      await callHome(guest.bare, 'invites.join', JSON.stringify(told))
      await callHome(own.bare, 'invites.introduce', guest.bare)
      await callHome(guest.bare, 'invites.introduce', own.bare)
    }

    const redeem = async (token: string, own: Address, guest: Address): Promise<boolean> => {
      const invitation = await invitations.peek(token)
      if (invitation?.kind !== 'contact' || invitation.inviter !== own.bare || guest.bare === own.bare) return false
      if (!(await invitations.take(invitation))) return false
      try {
        await befriend(own, guest, true)
      } catch (error) {
        await invitations.giveBack(invitation)
        throw error
      }
      log.info('invitation-used', { kind: 'contact', inviter: own.bare, guest: guest.bare })
      return true
    }

    /** XEP-0379 §3.5; §4.1: with a token that does not do, it is a request like any other. */
    const preapprove = async ({ stanza, from, to }: Passage): Promise<undefined | 'drop'> => {
      const token = stanza.type === 'subscribe' ? stanza.get(NS_PARS, 'preauth')?.attrs.token : undefined
      if (token === undefined || from.domainpart !== domain.domainpart) return undefined
      return (await redeem(token, to, from)) ? 'drop' : undefined
    }

    const permitOf = (invitation: Invitation): Permit => ({
      localpart: invitation.localpart,
      take: () => invitations.take(invitation),
      giveBack: () => invitations.giveBack(invitation),
      async fulfil(account) {
        const { kind } = invitation
        log.info('invitation-used', { kind, inviter: invitation.inviter, guest: account })
        const [own, guest] = [invitation.inviter && parseJid(invitation.inviter), parseJid(account)]
        if (own !== undefined && guest !== undefined && (await accounts.exists(own.bare))) await befriend(own, guest)
      },
    })

    /** XEP-0445 §4 */
    const preauthenticate = async (visitor: Visitor, token: string): Promise<undefined> => {
      // A token is worth an account: it must not travel where it can be read.
      if (!visitor.isPrivate && !host.allowsPlain)
        throw new StanzaError('not-authorized', { type: 'modify', text: 'TLS comes first.' })
      const network = networkOf(visitor.remoteAddress)
      if (host.areRatesLimited && !misses.allows(network)) throw new StanzaError('resource-constraint')
      const invitation = await peek(token)
      if (invitation === undefined || !invitation.allowsRegistration) {
        misses.take(network)
        throw new StanzaError('item-not-found', { text: 'The provided token is invalid or expired' })
      }
      needs.registration.admit(visitor, permitOf(invitation))
    }

    needs.registration.reserve((localpart) => invitations.isReserved(localpart))

    const mayInvite = (by: 'everyone' | 'admins', account: BareJid): boolean =>
      parseJid(account)?.domainpart === domain.domainpart &&
      account.includes('@') &&
      (by === 'everyone' || host.admins.has(account))
    const permissions: InvitePermissions = {
      mayInviteContacts: (account) => mayInvite(config.contactsBy, account),
      mayInviteAccounts: (account) => mayRegister && mayInvite(config.accountsBy, account),
      mayBringGuests: (account) => needs.registration.mode === 'open' || permissions.mayInviteAccounts(account),
    }
    for (const command of inviteCommands(inviter, permissions)) needs.commands.register(command)

    const api: InvitesApi = {
      create: (request) =>
        request.kind === 'account'
          ? inviter.toAccount(request.localpart, undefined, request.lifetimeMs)
          : inviter.toContact((parseJid(request.account)?.bare ?? request.account) as BareJid, true, request.lifetimeMs),
      peek,
      redeem,
    }
    return {
      api,
      visitorIq: [
        onVisitorIq(NS_PARS, 'preauth', (visitor, { type, payload }) => {
          const { token } = payload.attrs
          if (type !== 'set' || token === undefined) throw new StanzaError('bad-request')
          return preauthenticate(visitor, token)
        }),
      ],
      streamFeatures: [
        {
          when: 'before-login',
          offer: ({ isPrivate }): Element | undefined => (mayRegister && (isPrivate || host.allowsPlain) ? OFFER : undefined),
        },
      ],
      hooks: [
        guard('inbound', preapprove, { kind: 'presence', namespace: NS_PARS }),
        observe('account-deleted', ({ account }) => invitations.forget(account)),
      ],
      calls: [
        { name: 'join', handle: (account, joining) => join(account, JSON.parse(joining) as Joining).then(() => undefined) },
        {
          name: 'introduce',
          handle(account, contact): undefined {
            const to = parseJid(contact)
            if (to !== undefined) needs.subscriptions.tellAvailable(account, to)
          },
        },
      ],
      http: landingPage({
        domain: domain.jid,
        minPasswordLength: needs.registration.minPasswordLength,
        uriOf: (invitation) => invitationUri(invitation, domain),
        async find(token, address) {
          if (host.areRatesLimited && !misses.allows(networkOf(address))) return 'later'
          const invitation = await peek(token)
          if (invitation === undefined) misses.take(networkOf(address))
          return invitation
        },
        register: (invitation, wanted) => needs.registration.register({ ...wanted, permit: permitOf(invitation) }),
      }),
    }
  },
})
