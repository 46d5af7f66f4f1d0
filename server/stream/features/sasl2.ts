import type { Clock } from '#server/base/clock.ts'
import type { Accounts } from '#server/core/accounts.ts'
import { type Admission, type DeviceLogin, Devices, type Token } from '#server/core/devices.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { BareJid, Jid } from '#stanzas/jid.ts'
import { NS_SASL, NS_STREAM_MANAGEMENT } from '#stanzas/namespaces.ts'
import type { Account, ScramHash } from '#storage/shapes.ts'
import type { C2sStream } from '../c2s.ts'
import type { StreamFeature } from '../feature.ts'
import { UNBOUND } from '../sasl/hashed-token.ts'
import type { SaslFailure } from '../sasl/mechanism.ts'
import { StreamError } from '../stream-error.ts'
import { type Bind2, NS_BIND2 } from './bind2.ts'
import { type FastRequest, fastOffer, parseFast, tokenElement } from './fast.ts'
import { type Logins, onceFor, type Proof, type SaslProfile } from './login.ts'
import type { StreamManagement } from './stream-management.ts'
import { nameOf, parseUpgrades, saltFor, takeHash, type UpgradeTask, upgradeOffers, upgradesDue } from './upgrade.ts'

const NS_SASL2 = 'urn:xmpp:sasl:2'
const NOTE = 'sasl2'
/**
 * COMPAT(@xmpp/client 0.14): while it checks by HT-SHA-256-NONE that the server is the right one, it does not count what it sends, such as receipts for what
 * comes right behind <resumed/>, and breaks when the server has counted it. May go when a later version counts from the beginning.
 */
const PROVING_MS = 50
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export interface Sasl2Options {
  readonly logins: Logins
  readonly accounts: Accounts
  readonly clock: Clock
  readonly devices: Devices
  readonly bind2: Bind2
  readonly streamManagement: StreamManagement
  /** The names of the mechanisms for passwords. */
  readonly mechanisms: readonly string[]
}

/** What a client wants of its login besides being let in. */
interface Wishes {
  readonly clientId: string | undefined
  readonly software: string | undefined
  readonly device: string | undefined
  readonly fast: FastRequest
  readonly upgrades: readonly ScramHash[]
  readonly resume: Element | undefined
  readonly bind: Element | undefined
}

/** What one stream has got to. */
interface Progress {
  readonly wishes: Wishes
  proof: Proof | undefined
  /** Upgrades that are to be done before the login is complete; the first is under way. */
  tasks: readonly UpgradeTask[]
}

/** Authentication by SASL with everything that follows from it in one step (XEP-0388). */
export const sasl2 = (options: Sasl2Options): StreamFeature => {
  const { logins, accounts, clock, devices, bind2, streamManagement } = options
  const upgrades = upgradeOffers(options.mechanisms)

  const offerElement = onceFor(({ names, tokens }) => {
    if (names.length === 0) return undefined
    const inline = [bind2.offer, el(NS_STREAM_MANAGEMENT, 'sm'), fastOffer(tokens)]
    const mechanisms = names.map((name) => el(NS_SASL2, 'mechanism', {}, name))
    return el(NS_SASL2, 'authentication', {}, ...mechanisms, el(NS_SASL2, 'inline', {}, ...inline), ...upgrades)
  })

  const progressOf = (stream: C2sStream): Progress | undefined => stream.notes.get(NOTE) as Progress | undefined

  const profile: SaslProfile = {
    challenge(stream, data) {
      stream.expects = NS_SASL2
      stream.send(el(NS_SASL2, 'challenge', {}, data?.toString('base64')))
    },
    failure(stream, condition, text) {
      stream.expects = undefined
      stream.notes.delete(NOTE)
      stream.proved(undefined)
      stream.send(
        el(NS_SASL2, 'failure', {}, el(NS_SASL, condition), text === undefined ? undefined : el(NS_SASL2, 'text', {}, text)),
      )
    },
    success(stream, proof) {
      const progress = progressOf(stream)
      if (progress === undefined) throw new StreamError('internal-server-error')
      progress.proof = proof
      stream.expects = NS_SASL2
      return withAccount(proof.account, (account) => {
        // XEP-0480: who came by a token has not shown that it knows the password that the new keys would be of.
        progress.tasks = proof.token === undefined ? upgradesDue(account, progress.wishes.upgrades) : []
        return proceed(stream, progress, account, proof.data)
      })
    },
  }

  /** Goes on with the account as it is now. */
  const withAccount = (jid: BareJid, use: (account: Account) => void | Promise<void>): void | Promise<void> => {
    const found = accounts.get(jid)
    if (found instanceof Promise) return found.then((account) => use(existing(account)))
    return use(existing(found))
  }

  /** The next task (XEP-0388 §2.6.3), or the end. */
  const proceed = (stream: C2sStream, progress: Progress, account: Account, data: Buffer | undefined): void | Promise<void> => {
    const [task] = progress.tasks
    if (task === undefined) return admit(stream, progress, account, data)
    stream.send(
      el(NS_SASL2, 'continue', {}, additionalData(data), el(NS_SASL2, 'tasks', {}, el(NS_SASL2, 'task', {}, nameOf(task)))),
    )
  }

  const onTask = (stream: C2sStream, element: Element): void | Promise<void> => {
    const progress = progressOf(stream)
    const [task, ...left] = progress?.tasks ?? []
    const account = stream.account
    if (progress?.proof === undefined || task === undefined || account === undefined) return refuse(stream, 'malformed-request')
    if (element.name === 'next') {
      if (element.attrs.task !== nameOf(task) || task.salt !== undefined) return refuse(stream, 'malformed-request')
      return stream.send(el(NS_SASL2, 'task-data', {}, saltFor(task, accounts)))
    }
    return takeHash(task, element, account, accounts).then((isTaken) => {
      if (!isTaken) return refuse(stream, 'malformed-request')
      if (stream.isClosed) return undefined
      progress.tasks = left
      return withAccount(account, (current) => proceed(stream, progress, current, undefined))
    })
  }

  const refuse = (stream: C2sStream, condition: SaslFailure, text?: string): void =>
    logins.refuse(stream, profile, condition, text)

  /** The client is let in: its device is noted first, so that a token it learns of is kept. */
  const admit = (
    stream: C2sStream,
    { wishes, proof }: Progress,
    account: Account,
    data: Buffer | undefined,
  ): void | Promise<void> => {
    const { clientId, software, device, fast } = wishes
    stream.device = proof?.device ?? (clientId === undefined ? undefined : Devices.idOf(account.jid, clientId))
    const login: DeviceLogin = {
      software,
      device,
      token: proof?.token,
      count: fast.use?.count,
      wants: logins.offerOn(stream).tokens.find(({ name }) => name === fast.wants)?.name,
      invalidates: fast.use?.invalidates === true,
    }
    const token = stream.device === undefined ? undefined : devices.loggedIn(account, stream.device, login)
    const isSlow = proof?.token?.mechanism === UNBOUND
    const go = (kept: Admission): void | Promise<void> =>
      kept === 'revoked' ? refuse(stream, 'credentials-expired') : settle(stream, wishes, account.jid, data, kept, isSlow)
    return token instanceof Promise ? token.then(go) : go(token)
  }

  /** XEP-0386 §3.2: resuming comes first, and binding if that cannot be. */
  const settle = (
    stream: C2sStream,
    wishes: Wishes,
    account: BareJid,
    data: Buffer | undefined,
    token: Token | undefined,
    isSlow: boolean,
  ): void | Promise<void> => {
    if (stream.isClosed) return
    const say = (jid: Jid, inline: Element | undefined, bound?: Element): void => {
      const identity = el(NS_SASL2, 'authorization-identifier', {}, jid)
      const given = token === undefined ? undefined : tokenElement(token)
      stream.send(el(NS_SASL2, 'success', {}, additionalData(data), identity, inline, bound, given))
    }
    const begin = (refused: Element | undefined): void | Promise<void> => {
      if (stream.isClosed) return
      const bound = (session: { readonly jid: Jid }, element: Element): void => {
        say(session.jid, refused, element)
        stream.writeFeatures()
      }
      if (wishes.bind !== undefined) return bind2.bind(stream, account, wishes.bind, bound)
      say(account, refused)
      stream.writeFeatures()
    }
    stream.expects = undefined
    stream.admits()
    if (wishes.resume === undefined) return begin(undefined)
    const refused = streamManagement.resume(stream, wishes.resume, (resumed, session) => {
      say(session.jid, resumed)
      if (isSlow) clock.after(PROVING_MS, () => stream.follow())
      else stream.follow()
    })
    if (refused instanceof Promise) return refused.then((reason) => (stream.session === undefined ? begin(reason) : undefined))
    return begin(refused)
  }

  const begin = (stream: C2sStream, element: Element): void | Promise<void> => {
    // XEP-0388 §2.4, §4.8
    if (stream.expects !== undefined) throw new StreamError('policy-violation', { text: 'a login is under way' })
    const wishes = parseWishes(element, upgrades)
    if (typeof wishes === 'string') return refuse(stream, 'malformed-request', wishes)
    const { clientId } = wishes
    const { use } = wishes.fast
    stream.notes.set(NOTE, { wishes, proof: undefined, tasks: [] } satisfies Progress)
    return logins.begin(stream, profile, {
      mechanism: element.attrs.mechanism ?? '',
      initial: element.getChildText('initial-response')?.trim(),
      from: stream.from,
      retell(initial) {
        const others = element.getChildren().filter(({ name }) => name !== 'initial-response')
        return el(NS_SASL2, 'authenticate', element.attrs, el(NS_SASL2, 'initial-response', {}, initial), ...others)
      },
      // XEP-0484 §3.4
      fast: use === undefined || clientId === undefined ? undefined : { devices, clientId, count: use.count },
    })
  }

  return {
    name: 'sasl2',
    elements: [
      [NS_SASL2, 'authenticate'],
      [NS_SASL2, 'response'],
      [NS_SASL2, 'abort'],
      [NS_SASL2, 'next'],
      [NS_SASL2, 'task-data'],
    ],
    offer: (stream) => (stream.phase === 'before-login' ? offerElement(logins.offerOn(stream)) : undefined),
    handle(stream, element) {
      if (stream.phase !== 'before-login') throw new StreamError('unsupported-stanza-type')
      switch (element.name) {
        case 'authenticate':
          return begin(stream, element)
        case 'response':
          return logins.respond(stream, profile, element.text().trim())
        case 'abort':
          return logins.abort(stream, profile)
        default:
          return onTask(stream, element)
      }
    },
  }
}

const additionalData = (data: Buffer | undefined): Element | undefined =>
  data === undefined ? undefined : el(NS_SASL2, 'additional-data', {}, data.toString('base64'))

/** An account that was deleted since it was proved is let in no more. */
const existing = (account: Account | undefined): Account => {
  if (account === undefined || account.isDisabled) throw new StreamError('not-authorized')
  return account
}

/** Reads what the client wants, or says what is wrong with it. */
const parseWishes = (element: Element, upgrades: readonly Element[]): Wishes | string => {
  const userAgent = element.getChild('user-agent')
  const clientId = userAgent?.attrs.id
  const fast = parseFast(element)
  // XEP-0388 §2.3
  if (clientId !== undefined && !UUID.test(clientId)) return 'the id of a user-agent is a UUID'
  if (fast === undefined) return 'a token is used a number of times'
  // XEP-0484 §4.1
  if (fast.use !== undefined && clientId === undefined) return 'who has a token has a user-agent with an id'
  return {
    clientId,
    software: userAgent?.getChildText('software'),
    device: userAgent?.getChildText('device'),
    fast,
    upgrades: parseUpgrades(element, upgrades),
    resume: element.getChild('resume', NS_STREAM_MANAGEMENT),
    bind: element.getChild('bind', NS_BIND2),
  }
}
