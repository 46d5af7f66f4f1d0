import type { Accounts } from '#server/core/accounts.ts'
import type { LoginThrottle } from '#server/core/login-throttle.ts'
import type { Element } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { C2sStream } from '../c2s.ts'
import type { Connection } from '../connection.ts'
import { type Houses, isAstray } from '../houses.ts'
import { type BindingType, offeredBindings } from '../sasl/channel-binding.ts'
import { claimedIn } from '../sasl/claim.ts'
import { isBinding, tokenMechanisms } from '../sasl/hashed-token.ts'
import {
  type FastEnvironment,
  findMechanism,
  type Mechanism,
  type SaslExchange,
  type SaslFailure,
  type SaslOutcome,
} from '../sasl/mechanism.ts'
import { StreamError } from '../stream-error.ts'

/** RFC 6120 §6.4.5 asks for at least two retries, and an end. */
const MAX_FAILURES = 5
const NOTE = 'sasl'

export interface LoginOptions {
  readonly domain: string
  readonly accounts: Accounts
  /** Names, best first. */
  readonly mechanisms: readonly string[]
  readonly allowPlainWithoutTls: boolean
  /** Absent where rates are not limited. */
  readonly throttle: LoginThrottle | undefined
  /** Where accounts are at home; `undefined` when all are here. */
  readonly houses?: () => Houses | undefined
  /** An attempt is over; `mechanism` is one of ours, or `none` when the client asked for another. */
  readonly onOutcome: (mechanism: string, result: 'success' | SaslFailure) => void
}

/** The outcome of an exchange that succeeded. */
export type Proof = Extract<SaslOutcome, { readonly kind: 'success' }>

/** How a profile of SASL writes what the server says: RFC 6120's or that of XEP-0388. */
export interface SaslProfile {
  /** Without data, the client is asked to speak first. */
  challenge(stream: C2sStream, data: Buffer | undefined): void
  failure(stream: C2sStream, condition: SaslFailure, text: string | undefined): void
  success(stream: C2sStream, proof: Proof): void | Promise<void>
}

/** An attempt to log in, as the client asks for it. */
export interface Attempt {
  readonly mechanism: string
  /** Absent: the client waits to be asked. */
  readonly initial: string | undefined
  /** Who opened the stream, in a profile that holds the client to it (XEP-0388 §2.3). */
  readonly from?: BareJid | undefined
  /** Where it says that it has a token; then it may choose from what takes tokens, and from nothing else. */
  readonly fast?: FastEnvironment | undefined
  /** Writes the element that began it again, with this initial response. */
  readonly retell: (initial: string) => Element
}

/** What one stream has got to. */
interface Progress {
  exchange: SaslExchange | undefined
  /** Set until the client has said who it claims to be. */
  retell: Attempt['retell'] | undefined
  profile: SaslProfile | undefined
  mechanism: string
  failures: number
}

/** What a stream offers to log in with. */
export interface SaslOffer {
  readonly mechanisms: readonly Mechanism[]
  /** Their names. */
  readonly names: readonly string[]
  /** Those that take tokens (XEP-0484 §3.1). */
  readonly tokens: readonly Mechanism[]
  /** The channel-binding types that a mechanism may make use of (XEP-0440). */
  readonly bindings: readonly BindingType[]
}

/** Streams that can be bound to alike, of which there are a handful of kinds, and what they offer. */
interface OfferKind {
  readonly isPlain: boolean
  readonly allowPlainWithoutTls: boolean
  readonly framing: Connection['framing']
  readonly bindings: readonly BindingType[]
  readonly offer: SaslOffer
}

const isSameList = (one: readonly string[], other: readonly string[]): boolean =>
  one === other || (one.length === other.length && one.every((each, at) => each === other[at]))

const NOTHING: SaslOffer = { mechanisms: [], names: [], tokens: [], bindings: [] }

/** Makes something of an offer, once. */
export const onceFor = <T>(make: (offer: SaslOffer) => T): ((offer: SaslOffer) => T) => {
  const made = new WeakMap<SaslOffer, { readonly value: T }>()
  return (offer) => {
    let known = made.get(offer)
    if (known === undefined) {
      known = { value: make(offer) }
      made.set(offer, known)
    }
    return known.value
  }
}

/** Whether a mechanism of that name makes use of channel binding. */
const isBound = (name: string): boolean => name.endsWith('-PLUS')

/** Exchanges of SASL (RFC 6120 §6), however their messages are written: what is offered, who is held back, what is counted. */
export class Logins {
  readonly #options: LoginOptions
  readonly #configured: readonly Mechanism[]
  readonly #offers: OfferKind[] = []

  constructor(options: LoginOptions) {
    this.#options = options
    this.#configured = options.mechanisms.map(findMechanism).filter((mechanism) => mechanism !== undefined)
  }

  /** What a stream offers: one and the same object for all streams that can be bound to alike. */
  offerOn(stream: C2sStream): SaslOffer {
    const { tls, isPrivate, framing } = stream.connection
    const allowPlainWithoutTls = this.#options.allowPlainWithoutTls || isPrivate
    if (tls === undefined && !allowPlainWithoutTls) return NOTHING
    const bindings = offeredBindings(tls)
    const isPlain = tls === undefined
    const isAlike = (kind: OfferKind): boolean =>
      kind.isPlain === isPlain &&
      kind.allowPlainWithoutTls === allowPlainWithoutTls &&
      kind.framing === framing &&
      isSameList(kind.bindings, bindings)
    const known = this.#offers.find(isAlike)
    if (known !== undefined) return known.offer
    const isOffered = (mechanism: Mechanism): boolean => mechanism.isOffered({ tls, allowPlainWithoutTls })
    const mechanisms = this.#configured.filter(isOffered)
    // XEP-0484 §6: what is not bound to the channel is for clients that cannot bind, such as those in browsers.
    const isBindable = bindings.length > 0 && framing === 'stream'
    const offer: SaslOffer = {
      mechanisms,
      names: mechanisms.map(({ name }) => name),
      tokens: tokenMechanisms.filter((each) => isOffered(each) && (isBinding(each) || !isBindable)),
      bindings: mechanisms.some(({ name }) => isBound(name)) ? bindings : [],
    }
    this.#offers.push({ isPlain, allowPlainWithoutTls, framing, bindings, offer })
    return offer
  }

  /** Begins an exchange. */
  begin(stream: C2sStream, profile: SaslProfile, attempt: Attempt): void | Promise<void> {
    const { domain, accounts, throttle } = this.#options
    const progress = progressOf(stream)
    const offered = this.offerOn(stream)
    const among = attempt.fast === undefined ? offered.mechanisms : offered.tokens
    const mechanism = among.find(({ name }) => name === attempt.mechanism)
    progress.exchange = undefined
    progress.profile = profile
    // RFC 6120 §6.5.4, §6.5.7
    if (mechanism === undefined)
      return this.#fail(stream, stream.isPrivate || among.length > 0 ? 'invalid-mechanism' : 'encryption-required')
    progress.mechanism = mechanism.name
    progress.retell = attempt.retell
    if (throttle?.check(stream.remoteAddress).kind === 'refused')
      return this.#fail(stream, 'temporary-auth-failure', 'too many failed logins; try again later')
    progress.exchange = mechanism.start({
      domain,
      accounts,
      tls: stream.connection.tls,
      from: attempt.from,
      fast: attempt.fast,
      offered: offered.names,
      bindings: offered.bindings,
      admits: (account) => throttle === undefined || throttle.check(stream.remoteAddress, account).kind === 'allowed',
    })
    // RFC 6120 §6.4.2: without an initial response the mechanisms, which all let the client speak first, are answered with an empty challenge.
    if (attempt.initial === undefined) return profile.challenge(stream, undefined)
    return this.#step(stream, progress.exchange, attempt.initial)
  }

  /** Goes on with what the client answers; only in the profile that it began with. */
  respond(stream: C2sStream, profile: SaslProfile, text: string): void | Promise<void> {
    const { exchange, profile: begun } = progressOf(stream)
    return exchange !== undefined && begun === profile
      ? this.#step(stream, exchange, text)
      : this.refuse(stream, profile, 'malformed-request')
  }

  /** Ends the exchange at the client's wish (RFC 6120 §6.4.4). */
  abort(stream: C2sStream, profile: SaslProfile): void {
    this.refuse(stream, profile, 'aborted')
  }

  /** Refuses what the client asks for in this profile. */
  refuse(stream: C2sStream, profile: SaslProfile, condition: SaslFailure, text?: string): void {
    progressOf(stream).profile = profile
    this.#fail(stream, condition, text)
  }

  /** Refuses the attempt, and in the end the client. */
  #fail(stream: C2sStream, condition: SaslFailure, text?: string): void {
    const { throttle, onOutcome } = this.#options
    const progress = progressOf(stream)
    const { exchange, mechanism, profile } = progress
    if (condition !== 'aborted' && condition !== 'temporary-auth-failure')
      throttle?.failed(stream.remoteAddress, exchange?.claimed)
    onOutcome(mechanism, condition)
    // The others cost a stranger nothing, and must not fill the log: the throttle holds back only whoever guesses.
    const level = condition === 'not-authorized' || condition === 'account-disabled' ? 'info' : 'debug'
    stream.log[level]('login-failed', { address: stream.remoteAddress, account: exchange?.claimed, mechanism, condition })
    progress.exchange = undefined
    progress.mechanism = 'none'
    progress.failures++
    profile?.failure(stream, condition, text)
    if (progress.failures >= MAX_FAILURES) throw new StreamError('policy-violation', { text: 'too many failed logins' })
  }

  #step(stream: C2sStream, exchange: SaslExchange, text: string): void | Promise<void> {
    const response = decode(text)
    // RFC 6120 §6.5.6
    if (response === undefined) return this.#fail(stream, 'incorrect-encoding')
    const { retell } = progressOf(stream)
    const houses = this.#options.houses?.()
    if (houses === undefined || retell === undefined) return this.#take(stream, exchange, response)
    return this.#takeAtHome(stream, exchange, response, houses, retell(text))
  }

  /** Before anything of the account is looked at, its stream goes to where the account is at home. */
  async #takeAtHome(stream: C2sStream, exchange: SaslExchange, response: Buffer, houses: Houses, login: Element): Promise<void> {
    const progress = progressOf(stream)
    progress.retell = undefined
    const claimed = claimedIn(progress.mechanism, response, this.#options.domain)
    try {
      if (claimed === undefined || (await houses.serves(stream, claimed, login))) return this.#take(stream, exchange, response)
    } catch (error) {
      if (!isAstray(error)) throw error
      stream.log.warn('home-not-found', { account: claimed, error })
      return this.#fail(stream, 'temporary-auth-failure', 'the account cannot be reached; try again later')
    }
  }

  #take(stream: C2sStream, exchange: SaslExchange, response: Buffer): void | Promise<void> {
    const outcome = exchange.step(response)
    if (outcome instanceof Promise) return outcome.then((settled) => this.#conclude(stream, settled))
    return this.#conclude(stream, outcome)
  }

  #conclude(stream: C2sStream, outcome: SaslOutcome): void | Promise<void> {
    const progress = progressOf(stream)
    if (outcome.kind === 'challenge') return progress.profile?.challenge(stream, outcome.data)
    if (outcome.kind === 'failure') return this.#fail(stream, outcome.condition, outcome.text)
    // The client has gone meanwhile.
    if (stream.isClosed) return
    this.#options.throttle?.succeeded(stream.remoteAddress, outcome.account)
    this.#options.onOutcome(progress.mechanism, 'success')
    progress.exchange = undefined
    stream.proved(outcome.account)
    return progress.profile?.success(stream, outcome)
  }
}

const progressOf = (stream: C2sStream): Progress => {
  let progress = stream.notes.get(NOTE) as Progress | undefined
  if (progress === undefined) {
    progress = { exchange: undefined, retell: undefined, profile: undefined, mechanism: 'none', failures: 0 }
    stream.notes.set(NOTE, progress)
  }
  return progress
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Strict base64 (RFC 6120 §6.4.2); `=` stands for no bytes at all. */
const decode = (text: string): Buffer | undefined => {
  if (text === '=') return Buffer.alloc(0)
  return BASE64.test(text) ? Buffer.from(text, 'base64') : undefined
}
