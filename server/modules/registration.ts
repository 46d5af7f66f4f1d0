import { choice, duration, integer, list, text } from '#server/base/schema.ts'
import { defineModule, type IqRequest, onGet, onSet, onVisitorIq, type Visitor } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { firstValueOf, formTypeOf, readForm } from '#stanzas/data-form.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type BareJid, makeJid, parseJid } from '#stanzas/jid.ts'
import { NS_DATA_FORMS, NS_REGISTER } from '#stanzas/namespaces.ts'
import { iq } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { type Permit, Registrar, type RegistrationRequest } from './registration/registrar.ts'

export type { Permit }

const OFFER = el('http://jabber.org/features/iq-register', 'register')

const CHANGE_FORM = 'jabber:iq:register:changepassword'

/** Keys of what a stream's notes remember: the right to register that was shown, and that an account was made. */
const PERMIT = 'registration/permit'
const DONE = 'registration/done'

/** What modules may do with registration. */
export interface RegistrationApi {
  readonly mode: 'invitation' | 'open' | 'closed'
  /** Shortest password. */
  readonly minPasswordLength: number
  /** Makes the account; refuses with a `StanzaError` whose text says why. */
  register(request: RegistrationRequest): Promise<BareJid>
  /** Opens registration on a stream. */
  admit(visitor: Visitor, permit: Permit): void
  /** Keeps names from everybody without a permit for them. */
  reserve(isReserved: (localpart: string) => Promise<boolean>): void
}

/** Makes accounts for clients that have none, changes passwords and closes accounts. */
export const registration = defineModule({
  name: 'registration',
  summary: 'Clients make accounts, by invitation or for everyone, change their password and close their account.',
  xeps: { 'XEP-0077': '2.4' },
  features: { server: [NS_REGISTER] },
  config: {
    mode: choice(['invitation', 'open', 'closed'], {
      default: 'invitation',
      doc: 'Who may make an account: whoever was invited, everyone, or only the operator. A development server is open.',
    }),
    perAddress: integer({
      default: 10,
      min: 1,
      doc: 'How many accounts one address may ask for within window, while rates are limited.',
    }),
    window: duration('1h', { min: '1s', max: '30d', doc: 'The time in which perAddress counts.' }),
    minPasswordLength: integer({ default: 8, min: 1, max: 128, doc: 'How many characters a new password must have at least.' }),
    reserved: list(text({ default: '', doc: '' }), {
      default: [
        'abuse',
        'admin',
        'administrator',
        'hostmaster',
        'info',
        'noc',
        'operator',
        'postmaster',
        'root',
        'security',
        'support',
        'system',
        'webmaster',
        'xmpp',
      ],
      doc: 'Names that nobody can take without an invitation for just that name.',
    }),
  },

  start({ config, host, domain, accounts, clock, log, metrics }) {
    const mode = host.isDev ? 'open' : config.mode
    const minPasswordLength = host.isDev ? 1 : config.minPasswordLength
    const made = metrics.counter('registrations_total', 'Accounts that were made by clients.')
    const limited = metrics.counter(
      'registrations_limited_total',
      'Accounts that were not made because their address asked too often.',
    )
    const registrar = new Registrar({
      accounts,
      clock,
      log,
      domain,
      minPasswordLength,
      allowsWeak: host.isDev,
      reserved: config.reserved,
      rate: host.areRatesLimited ? { burst: config.perAddress, perMs: config.window } : undefined,
      onMade: () => made.add(),
      onLimited: () => limited.add(),
    })
    /** Sessions that close their account, with the answer they are owed. */
    const leaving = new Map<Session, () => void>()

    // ---- before login

    const mayAsk = (visitor: Visitor): void => {
      // XEP-0077 §3.1
      if (mode === 'closed') throw new StanzaError('service-unavailable')
      // §3.3, §11: a password must not travel where it can be read.
      if (!visitor.isPrivate && !host.allowsPlain)
        throw new StanzaError('not-authorized', { type: 'modify', text: 'TLS comes first.' })
      if (mode === 'invitation' && !visitor.notes.has(PERMIT))
        throw new StanzaError('not-allowed', { text: 'Accounts on this server are made by invitation.' })
    }

    const answerVisitor = async (visitor: Visitor, payload: Element): Promise<undefined> => {
      // XEP-0077 §3.2, §3.3: without an account there is none to close.
      if (payload.getChild('remove') !== undefined) throw new StanzaError('unexpected-request')
      // §3.1.1: a second identity on one stream.
      if (visitor.notes.has(DONE) && !host.isDev)
        throw new StanzaError('not-acceptable', { text: 'This connection has made an account already.' })
      const { username, password } = readFields(payload, NS_REGISTER)
      const permit = visitor.notes.get(PERMIT) as Permit | undefined
      await registrar.register({ username, password, remoteAddress: visitor.remoteAddress, permit })
      visitor.notes.set(DONE, true)
      visitor.notes.delete(PERMIT)
    }

    // ---- after login

    const ownSession = ({ session }: IqRequest): Session => {
      // Who is served elsewhere has no account here that it could speak for.
      if (session === undefined) throw new StanzaError('registration-required')
      return session
    }

    const changePassword = async ({ payload }: IqRequest, session: Session): Promise<undefined> => {
      const { username, password } = readFields(payload, CHANGE_FORM)
      // XEP-0077 §3.3: an empty password must change nothing.
      if (username === '' || password === '') throw new StanzaError('bad-request')
      const account = username.includes('@') ? parseJid(username)?.bare : makeJid(username, domain.jid)?.bare
      if (account !== session.account)
        throw new StanzaError('not-allowed', { text: 'You have an account, and can change the password of no other.' })
      registrar.checkPassword(password, session.address.localpart)
      const outcome = await accounts.setPassword(account, password, session.jid)
      if (outcome === 'busy') throw new StanzaError('resource-constraint')
      if (outcome !== 'changed') throw new StanzaError('not-acceptable')
      log.info('password-changed', { account })
    }

    const close = async ({ stanza, payload, toAddress }: IqRequest, session: Session): Promise<undefined> => {
      // XEP-0077 §3.2
      if (payload.getChildren().length > 1) throw new StanzaError('bad-request')
      leaving.set(session, () => session.send(iq({ from: toAddress, to: session.address, id: stanza.id, type: 'result' })))
      try {
        if (!(await accounts.delete(session.account))) throw new StanzaError('registration-required')
        log.info('account-closed', { account: session.account })
      } finally {
        leaving.delete(session)
      }
    }

    // §3.2: the result comes before the stream error. The server's own listener, which ends the streams, was added after this one.
    const stopListening = accounts.on('deleted', ({ account }) => {
      for (const [session, answer] of leaving) if (session.account === account) answer()
    })

    const answerGet = (request: IqRequest): Element =>
      el(
        NS_REGISTER,
        'query',
        {},
        el(NS_REGISTER, 'registered'),
        el(NS_REGISTER, 'instructions', {}, 'You have this account. Send a new password to change it.'),
        el(NS_REGISTER, 'username', {}, ownSession(request).address.localpart),
        el(NS_REGISTER, 'password'),
      )
    const answerSet = (request: IqRequest): Promise<undefined> => {
      const session = ownSession(request)
      return request.payload.getChild('remove') === undefined ? changePassword(request, session) : close(request, session)
    }

    const api: RegistrationApi = {
      mode,
      minPasswordLength,
      register: (request) => registrar.register(request),
      admit: (visitor, permit) => void visitor.notes.set(PERMIT, permit),
      reserve: (isReserved) => registrar.reserve(isReserved),
    }
    return {
      api,
      visitorIq: [
        onVisitorIq(NS_REGISTER, 'query', (visitor, { type, payload }) => {
          mayAsk(visitor)
          return type === 'get' ? fields() : answerVisitor(visitor, payload)
        }),
      ],
      iq: [
        onGet(NS_REGISTER, 'query', 'server', answerGet),
        onGet(NS_REGISTER, 'query', 'own', answerGet),
        onSet(NS_REGISTER, 'query', 'server', answerSet),
        onSet(NS_REGISTER, 'query', 'own', answerSet),
      ],
      streamFeatures: [
        {
          when: 'before-login',
          // XEP-0445 §3: also where an invitation is needed; Conversations registers nowhere else.
          offer: ({ isPrivate }) => (mode !== 'closed' && (isPrivate || host.allowsPlain) ? OFFER : undefined),
        },
      ],
      stop: stopListening,
    }
  },
})

const fields = (): Element =>
  el(
    NS_REGISTER,
    'query',
    {},
    el(NS_REGISTER, 'instructions', {}, 'Choose a username and a password.'),
    el(NS_REGISTER, 'username'),
    el(NS_REGISTER, 'password'),
  )

/** What was filled in. XEP-0077 §4: a data form takes precedence, and the plain fields must not come with it. */
const readFields = (payload: Element, formType: string): { readonly username: string; readonly password: string } => {
  const x = payload.getChild('x', NS_DATA_FORMS)
  if (x === undefined)
    return { username: payload.getChildText('username') ?? '', password: payload.getChildText('password') ?? '' }
  const form = readForm(x)
  const type = form && formTypeOf(form)
  if (form?.type !== 'submit' || (type !== undefined && type !== formType && type !== NS_REGISTER))
    throw new StanzaError('bad-request')
  return { username: firstValueOf(form, 'username') ?? '', password: firstValueOf(form, 'password') ?? '' }
}
