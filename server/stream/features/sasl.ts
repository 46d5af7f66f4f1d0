import type { Accounts } from '#server/core/accounts.ts'
import type { LoginThrottle } from '#server/core/login-throttle.ts'
import { type Element, el } from '#stanzas/element.ts'
import { NS_SASL } from '#stanzas/namespaces.ts'
import type { C2sStream } from '../c2s.ts'
import type { StreamFeature } from '../feature.ts'
import { offeredBindings } from '../sasl/channel-binding.ts'
import { findMechanism, type Mechanism, type SaslExchange, type SaslFailure, type SaslOutcome } from '../sasl/mechanism.ts'
import { StreamError } from '../stream-error.ts'

const NS_CHANNEL_BINDING = 'urn:xmpp:sasl-cb:0'
/** RFC 6120 §6.4.5 asks for at least two retries, and an end. */
const MAX_FAILURES = 5
const NOTE = 'sasl'

export interface SaslOptions {
  readonly domain: string
  readonly accounts: Accounts
  /** Names, best first. */
  readonly mechanisms: readonly string[]
  readonly allowPlainWithoutTls: boolean
  /** Absent where rates are not limited. */
  readonly throttle: LoginThrottle | undefined
  /** An attempt is over; `mechanism` is one of ours, or `none` when the client asked for another. */
  readonly onOutcome: (mechanism: string, result: 'success' | SaslFailure) => void
}

/** What one stream has got to. */
interface Login {
  exchange: SaslExchange | undefined
  mechanism: string
  failures: number
}

/** Whether a mechanism of that name makes use of channel binding. */
const isBound = (name: string): boolean => name.endsWith('-PLUS')

/** Authentication by SASL (RFC 6120 §6). */
export const sasl = (options: SaslOptions): StreamFeature => {
  const { domain, accounts, throttle } = options
  const configured = options.mechanisms.map(findMechanism).filter((mechanism) => mechanism !== undefined)
  const offeredOn = (stream: C2sStream): readonly Mechanism[] => {
    const { tls } = stream.connection
    const allowPlainWithoutTls = options.allowPlainWithoutTls || stream.connection.isPrivate
    if (tls === undefined && !allowPlainWithoutTls) return []
    return configured.filter((mechanism) => mechanism.isOffered({ tls, allowPlainWithoutTls }))
  }
  const loginOf = (stream: C2sStream): Login => {
    let login = stream.notes.get(NOTE) as Login | undefined
    if (login === undefined) {
      login = { exchange: undefined, mechanism: 'none', failures: 0 }
      stream.notes.set(NOTE, login)
    }
    return login
  }

  const fail = (stream: C2sStream, condition: SaslFailure, text?: string): void => {
    const login = loginOf(stream)
    if (condition !== 'aborted' && condition !== 'temporary-auth-failure')
      throttle?.failed(stream.remoteAddress, login.exchange?.claimed)
    options.onOutcome(login.mechanism, condition)
    // The others cost a stranger nothing, and must not fill the log: the throttle holds back only whoever guesses.
    const level = condition === 'not-authorized' || condition === 'account-disabled' ? 'info' : 'debug'
    const account = login.exchange?.claimed
    stream.log[level]('login-failed', { address: stream.remoteAddress, account, mechanism: login.mechanism, condition })
    login.exchange = undefined
    login.mechanism = 'none'
    login.failures++
    const says = text === undefined ? undefined : el(NS_SASL, 'text', { 'xml:lang': 'en' }, text)
    stream.send(el(NS_SASL, 'failure', {}, el(NS_SASL, condition), says))
    if (login.failures >= MAX_FAILURES) throw new StreamError('policy-violation', { text: 'too many failed logins' })
  }

  const conclude = (stream: C2sStream, outcome: SaslOutcome): void => {
    if (outcome.kind === 'challenge') return stream.send(el(NS_SASL, 'challenge', {}, outcome.data.toString('base64')))
    if (outcome.kind === 'failure') return fail(stream, outcome.condition, outcome.text)
    throttle?.succeeded(stream.remoteAddress, outcome.account)
    options.onOutcome(loginOf(stream).mechanism, 'success')
    stream.send(el(NS_SASL, 'success', {}, outcome.data?.toString('base64')))
    stream.authenticated(outcome.account)
  }

  const step = (stream: C2sStream, exchange: SaslExchange, text: string): void | Promise<void> => {
    const response = decode(text)
    // RFC 6120 §6.5.6
    if (response === undefined) return fail(stream, 'incorrect-encoding')
    const outcome = exchange.step(response)
    if (outcome instanceof Promise) return outcome.then((settled) => conclude(stream, settled))
    return conclude(stream, outcome)
  }

  const begin = (stream: C2sStream, element: Element): void | Promise<void> => {
    const login = loginOf(stream)
    const offered = offeredOn(stream)
    const name = element.attrs.mechanism ?? ''
    const mechanism = offered.find((candidate) => candidate.name === name)
    login.exchange = undefined
    // RFC 6120 §6.5.4, §6.5.7
    if (mechanism === undefined)
      return fail(stream, stream.isPrivate || offered.length > 0 ? 'invalid-mechanism' : 'encryption-required')
    login.mechanism = mechanism.name
    if (throttle?.check(stream.remoteAddress).kind === 'refused')
      return fail(stream, 'temporary-auth-failure', 'too many failed logins; try again later')
    login.exchange = mechanism.start({
      domain,
      accounts,
      tls: stream.connection.tls,
      offered: offered.map((each) => each.name),
      bindings: offered.some(({ name }) => isBound(name)) ? offeredBindings(stream.connection.tls) : [],
      admits: (account) => throttle === undefined || throttle.check(stream.remoteAddress, account).kind === 'allowed',
    })
    const initial = element.text()
    // RFC 6120 §6.4.2: without an initial response the mechanisms, which all let the client speak first, are answered with an empty challenge.
    if (initial === '') return stream.send(el(NS_SASL, 'challenge'))
    return step(stream, login.exchange, initial)
  }

  return {
    name: 'sasl',
    elements: [
      [NS_SASL, 'auth'],
      [NS_SASL, 'response'],
      [NS_SASL, 'abort'],
    ],
    offer(stream) {
      const offered = stream.phase === 'before-login' ? offeredOn(stream) : []
      if (offered.length === 0) return undefined
      return el(NS_SASL, 'mechanisms', {}, ...offered.map((mechanism) => el(NS_SASL, 'mechanism', {}, mechanism.name)))
    },
    handle(stream, element) {
      if (stream.phase !== 'before-login') throw new StreamError('unsupported-stanza-type')
      if (element.name === 'auth') return begin(stream, element)
      const { exchange } = loginOf(stream)
      if (element.name === 'abort') return fail(stream, 'aborted')
      if (exchange === undefined) return fail(stream, 'malformed-request')
      return step(stream, exchange, element.text())
    },
  }
}

/** XEP-0440: the channel-binding types a client may use, where a mechanism uses any. */
export const channelBindings = (mechanisms: readonly string[]): StreamFeature => ({
  name: 'channel-bindings',
  elements: [],
  offer(stream) {
    const types = stream.phase === 'before-login' && mechanisms.some(isBound) ? offeredBindings(stream.connection.tls) : []
    if (types.length === 0) return undefined
    return el(
      NS_CHANNEL_BINDING,
      'sasl-channel-binding',
      {},
      ...types.map((type) => el(NS_CHANNEL_BINDING, 'channel-binding', { type })),
    )
  },
  handle() {},
})

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Strict base64 (RFC 6120 §6.4.2); `=` stands for no bytes at all. */
const decode = (text: string): Buffer | undefined => {
  if (text === '=') return Buffer.alloc(0)
  return BASE64.test(text) ? Buffer.from(text, 'base64') : undefined
}
