import { claimsDelayBy } from '#stanzas/delay.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { iq, stanza as makeStanza, type Payload, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import { isSpoofedStanzaId } from '#stanzas/stanza-id.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Accounts } from './accounts.ts'
import type { Delivery } from './delivery.ts'
import { type Arrival, type Forwarding, homeKey } from './forwarding.ts'
import type { Hooks } from './hooks.ts'
import type { Handled } from './inflow.ts'
import type { IqDispatch } from './iq.ts'
import type { Ledger, Remembered } from './ledger.ts'
import type { PresenceRegistration, PresenceType, Service } from './module.ts'
import type { PendingLimit } from './pending-limit.ts'
import type { Resends } from './resends.ts'
import type { Stay } from './residence.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'
import { isStorable } from './storable.ts'
import { AwaitedElsewhere, Transit } from './transit.ts'

interface Hosted {
  readonly service: Service
  readonly iq: IqDispatch
}

const PRESENCE_TYPES: ReadonlySet<string> = new Set<PresenceType>([
  'unavailable',
  'subscribe',
  'subscribed',
  'unsubscribe',
  'unsubscribed',
  'probe',
  'error',
])

/** Goes on at once with a value, later with a promised one. */
const then = <T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> =>
  value instanceof Promise ? value.then(next) : next(value)

/** Whose address is this, and what becomes of the stanza (RFC 6120 §10, RFC 6121 §8). */
export class Router {
  readonly #domain: Address
  readonly #sessions: Sessions
  readonly #accounts: Accounts
  readonly #hooks: Hooks
  readonly #ledger: Ledger
  readonly #pendingLimit: PendingLimit
  readonly #resends: Resends
  readonly #delivery: Delivery
  readonly #iq: IqDispatch
  readonly #presence = new Map<string, PresenceRegistration['handle']>()
  readonly #services = new Map<string, Hosted>()
  /** What goes to other nodes; `undefined` when there are none. */
  #forwarding: Forwarding | undefined
  readonly #onFailure: (stanza: Stanza, error: unknown) => void
  readonly #onRefused: (condition: StanzaErrorCondition) => void

  constructor(parts: {
    readonly domain: Address
    readonly sessions: Sessions
    readonly accounts: Accounts
    readonly hooks: Hooks
    readonly ledger: Ledger
    readonly pendingLimit: PendingLimit
    readonly resends: Resends
    readonly delivery: Delivery
    readonly iq: IqDispatch
    readonly onFailure: (stanza: Stanza, error: unknown) => void
    readonly onRefused: (condition: StanzaErrorCondition) => void
  }) {
    this.#domain = parts.domain
    this.#sessions = parts.sessions
    this.#accounts = parts.accounts
    this.#hooks = parts.hooks
    this.#ledger = parts.ledger
    this.#pendingLimit = parts.pendingLimit
    this.#resends = parts.resends
    this.#delivery = parts.delivery
    this.#iq = parts.iq
    this.#onFailure = parts.onFailure
    this.#onRefused = parts.onRefused
  }

  /** Gives presence of these types to this module. */
  registerPresence(module: string, registrations: readonly PresenceRegistration[]): void {
    for (const { at, types, handle } of registrations)
      for (const type of types) {
        const key = `${at} ${type}`
        if (this.#presence.has(key)) throw new Error(`module ${module}: ${type} presence (${at}) has a handler already`)
        this.#presence.set(key, handle)
      }
  }

  /** Gives a domain to a service; `iq` finds the handlers of requests to it. */
  registerService(service: Service, iq: IqDispatch): void {
    const { domainpart } = service.address
    if (domainpart === this.#domain.domainpart || this.#services.has(domainpart))
      throw new Error(`two services are called ${domainpart}`)
    this.#services.set(domainpart, { service, iq })
  }

  /** From now on accounts and services may be at home at other nodes. */
  forwardBy(forwarding: Forwarding): void {
    this.#forwarding = forwarding
  }

  /** The other way to an address that is not at home here, or may not be. */
  #wayTo(to: Address, from?: Address): Forwarding | undefined {
    const forwarding = this.#forwarding
    if (forwarding === undefined || (to.localpart === '' && this.isLocal(to))) return undefined
    // RFC 6120 §10.1: what was sent while the home was looked for comes first, though it is here now.
    const isAhead = from !== undefined && forwarding.isHandling(from)
    return isAhead || !forwarding.isHere(homeKey(to)) ? forwarding : undefined
  }

  /** What is done for an account here keeps it here, so that nothing is stored for it behind the back of a new home. */
  #staying<T>(transit: Transit, run: (staying: Transit) => T | Promise<T>): T | Promise<T> {
    if (this.#forwarding === undefined || (transit.to.localpart === '' && this.isLocal(transit.to))) return run(transit)
    const stay = this.#forwarding.stay(homeKey(transit.to))
    transit.stay = stay
    let outcome: T | Promise<T>
    try {
      outcome = run(transit)
    } catch (error) {
      endUnlessStored(stay)
      throw error
    }
    if (outcome instanceof Promise) return outcome.finally(() => endUnlessStored(stay))
    endUnlessStored(stay)
    return outcome
  }

  /** A stanza from elsewhere to an address that is at home here, or to an account that is at home nowhere. */
  arrive(stanza: Stanza, from: Address, to: Address, arrival: Arrival): Handled | Promise<Handled> {
    const transit = new Transit(stanza, from, to, undefined, arrival)
    if (stanza.kind === 'presence') return this.#presenceHere(transit)
    if (stanza.kind === 'iq') return this.#iqHere(transit)
    return this.#messageHere(transit)
  }

  /** A stanza that arrived, and for which nobody waits, could not be handled. */
  notArrived(stanza: Stanza, error: unknown): void {
    if (error instanceof StanzaError) this.#bounce(stanza, error)
    else this.#onFailure(stanza, error)
  }

  /** Whether the address is the server's own or an account's; those of services are not. */
  isLocal(address: Address): boolean {
    return address.domainpart === this.#domain.domainpart
  }

  /** Whether anybody here answers for the address: the server, an account, or a service. */
  isServed(address: Address): boolean {
    return this.isLocal(address) || this.#services.has(address.domainpart)
  }

  /** A stanza from a local session, `from` already stamped. `stored`: the session is settled when it is durable. */
  handle(session: Session, stanza: Stanza): Handled | Promise<Handled> {
    // RFC 6120 §8.3.3.8; answered from the account, since the address it named is none.
    if (stanza.hasMalformedAddress) throw new StanzaError('jid-malformed')
    const to = stanza.to ?? session.address.bareAddress
    const transit = new Transit(stanza, session.address, to, session)
    const passed = this.#hooks.pass(this.#hooks.chain('sent', stanza.kind), transit)
    return passed instanceof Promise ? passed.then((each) => this.#sent(transit, each)) : this.#sent(transit, passed)
  }

  #sent(transit: Transit, passed: Stanza | undefined): Handled | Promise<Handled> {
    if (passed === undefined) return undefined
    transit.stanza = passed
    const { kind } = passed
    if (kind === 'message') return this.#message(transit)
    this.#hooks.observe(this.#hooks.chain('sent', kind), transit)
    return kind === 'iq' ? this.#iqFrom(transit) : this.#presenceFrom(transit)
  }

  /** Sends a stanza of the server's or a module's own. It has both addresses. */
  route(stanza: Stanza): void {
    const { from, to } = stanza
    if (from === undefined || to === undefined) throw new Error('a routed stanza needs both addresses')
    const transit = new Transit(stanza, from, to, undefined)
    const failed = (error: unknown): undefined => {
      if (error instanceof StanzaError) this.#bounce(stanza, error)
      else this.#onFailure(stanza, error)
    }
    try {
      if (!this.isServed(to)) return
      const settled =
        stanza.kind === 'presence'
          ? this.#inboundPresence(transit)
          : stanza.kind === 'iq'
            ? this.#iqFrom(transit)
            : this.#message(transit)
      if (settled instanceof Promise) settled.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  // ---- message

  #message(transit: Transit): Handled | Promise<Handled> {
    if (this.#forwarding === undefined) return this.#messageHere(transit)
    const forwarding = this.#wayTo(transit.to, transit.from)
    return forwarding === undefined ? this.#staying(transit, this.#messageStaying) : this.#messageElsewhere(forwarding, transit)
  }

  readonly #messageStaying = (transit: Transit): Handled | Promise<Handled> => this.#messageHere(transit)

  #messageElsewhere(forwarding: Forwarding, transit: Transit): Handled | Promise<Handled> {
    const { session, to } = transit
    if (!this.isServed(to)) throw new StanzaError('remote-server-not-found')
    transit.stanza = this.#clean(transit)
    transit.recipients = NOBODY
    const { stanza } = transit
    if (!isStorable(stanza) || !this.isLocal(to)) {
      forwarding.send(homeKey(to), stanza)
      this.#observeSent(transit)
      return undefined
    }
    if (session?.mayResend !== true) return this.#forward(forwarding, transit)
    // DESIGN P2, as in #accept.
    return then(this.#resends.has(session, stanza, to), (isThere) => (isThere ? undefined : this.#forward(forwarding, transit)))
  }

  #forward(forwarding: Forwarding, transit: Transit): Handled | Promise<Handled> {
    const sender = this.#ledger.senderPlace(transit.stanza, this.#localAccount(transit.from), transit.to)
    return sender instanceof Promise
      ? sender.then((place) => this.#forwardFrom(forwarding, transit, place))
      : this.#forwardFrom(forwarding, transit, sender)
  }

  #forwardFrom(forwarding: Forwarding, transit: Transit, sender: BareJid | undefined): Handled {
    const { session, stanza, to } = transit
    transit.isKeptBySender = sender !== undefined
    transit.ticket = session?.ticket() ?? 0
    forwarding.send(homeKey(to), stanza, new AwaitedElsewhere(transit, this.#arrivedElsewhere))
    return session === undefined ? undefined : 'stored'
  }

  readonly #arrivedElsewhere = (transit: Transit, id: LogId | undefined, refusal: StanzaError | undefined): void => {
    const { session, stanza, from, to } = transit
    try {
      if (refusal !== undefined) {
        if (session === undefined) this.#bounce(stanza, refusal)
        else this.refuse(session, stanza, refusal)
      } else {
        if (!transit.isKeptBySender) this.#rememberResends(transit)
        if (id !== undefined) this.#ledger.onKept?.(id, stanza, from, to)
        transit.entry = id
        this.#observeSent(transit)
      }
    } catch (error) {
      this.#onFailure(stanza, error)
    }
    session?.settle(transit.ticket)
  }

  #observeSent(transit: Transit): void {
    if (transit.session !== undefined || this.#localAccount(transit.from) !== undefined)
      this.#hooks.observe(this.#hooks.chain('sent', 'message'), transit)
  }

  #messageHere(transit: Transit): Handled | Promise<Handled> {
    const { to } = transit
    if (!this.isLocal(to)) return this.#messageAbroad(transit)
    // RFC 6120 §10.5.2: the server itself takes no messages.
    if (to.localpart === '') return this.#refuseMessage(transit)
    const exists = this.#accounts.exists(to.bare)
    return exists instanceof Promise
      ? exists.then((isThere) => this.#messageToAccount(transit, isThere))
      : this.#messageToAccount(transit, exists)
  }

  #messageToAccount(transit: Transit, exists: boolean): Handled | Promise<Handled> {
    // RFC 6121 §8.5.1: an unknown account.
    if (!exists) return this.#refuseMessage(transit)
    const passed = this.#hooks.pass(this.#hooks.chain('inbound', 'message'), transit)
    return passed instanceof Promise ? passed.then((stanza) => this.#admit(transit, stanza)) : this.#admit(transit, passed)
  }

  #admit(transit: Transit, passed: Stanza | undefined): Handled | Promise<Handled> {
    if (passed === undefined) return undefined
    transit.stanza = passed
    const { to } = transit
    const keep = isStorable(passed)
    if (!keep || this.#isThere(to)) return this.#accept(transit, keep)
    return then(this.#pendingLimit.admits(to.bare), (isAdmitted) => {
      // XEP-0160 §2: so much waits for the account that it is as if nothing could.
      if (!isAdmitted) throw new StanzaError('service-unavailable')
      return this.#accept(transit, keep)
    })
  }

  #messageAbroad(transit: Transit): undefined | Promise<undefined> {
    const { stanza, to, session } = transit
    const handle = this.#serviceOf(to).service.message
    if (handle === undefined) return this.#refuseMessage(transit)
    const pass = (): undefined | Promise<undefined> =>
      then(handle(transit), () => {
        transit.recipients = NOBODY
        if (session !== undefined) this.#hooks.observe(this.#hooks.chain('sent', stanza.kind), transit)
        return undefined
      })
    const waiting = transit.inflow?.drained()
    return waiting === undefined ? pass() : waiting.then(pass)
  }

  #serviceOf(to: Address): Hosted {
    const hosted = this.#services.get(to.domainpart)
    // RFC 6121 §8.1: no way to other domains yet.
    if (hosted === undefined) throw new StanzaError('remote-server-not-found')
    return hosted
  }

  /** Whether a device of the account takes messages as they come. */
  #isThere(to: Address): boolean {
    for (const session of this.#sessions.of(to.bare)) if (session.isWilling && !session.isCatchingUp) return true
    return false
  }

  #accept(transit: Transit, keep: boolean): Handled | Promise<Handled> {
    const { session, stanza, to, arrival } = transit
    const behind = arrival?.isBehind
    if (!keep || (session?.mayResend !== true && behind === undefined)) return this.#take(transit, keep)
    // DESIGN P2: what the ledger has is acknowledged, and neither stored nor delivered twice.
    const isThere =
      behind === undefined || session !== undefined
        ? session !== undefined && this.#resends.has(session, stanza, to)
        : this.#arrivedBefore(behind, transit)
    return then(isThere, (has) => (has ? undefined : this.#take(transit, keep)))
  }

  /** It was sent here before, perhaps over a link that broke: what came then may still wait for the disk. */
  async #arrivedBefore(behind: LogId, transit: Transit): Promise<boolean> {
    await transit.inflow?.drained()
    return this.#resends.isBehind(behind, transit.stanza, transit.from, transit.to)
  }

  #take(transit: Transit, keep: boolean): Handled | Promise<Handled> {
    if (!keep) return this.#go(transit, undefined)
    const remembered = this.#rememberers(transit)
    return remembered instanceof Promise ? remembered.then((each) => this.#go(transit, each)) : this.#go(transit, remembered)
  }

  #rememberers({ stanza, from, to, arrival }: Transit): Remembered | Promise<Remembered> {
    const account = this.#localAccount(from)
    if (arrival !== undefined) return this.#ledger.rememberers(stanza, arrival.isKeptBySender ? account : undefined, from, to)
    const sender = this.#ledger.senderPlace(stanza, account, to)
    return sender instanceof Promise
      ? sender.then((place) => this.#ledger.rememberers(stanza, place, from, to))
      : this.#ledger.rememberers(stanza, sender, from, to)
  }

  #go(transit: Transit, remembered: Remembered | undefined): Handled | Promise<Handled> {
    // DESIGN P1: durable, then visible, then acknowledged.
    if (remembered !== undefined && this.#ledger.mode === 'durable') {
      transit.stanza = this.#clean(transit)
      return this.#keep(transit, remembered)
    }
    const waiting = transit.inflow?.drained()
    return waiting === undefined ? this.#arrive(transit, remembered) : waiting.then(() => this.#arrive(transit, remembered))
  }

  #refuseMessage({ stanza }: Transit): undefined {
    if (stanza.type !== 'headline') throw new StanzaError('service-unavailable')
    return undefined
  }

  #keep(transit: Transit, remembered: Remembered): 'stored' | undefined {
    const { inflow } = transit
    transit.ticket = inflow?.ticket() ?? 0
    this.#append(transit, remembered)
    return inflow === undefined ? undefined : 'stored'
  }

  #append(transit: Transit, remembered: Remembered): void {
    if (transit.stay !== undefined) transit.stay.isStored = true
    transit.isKeptBySender = remembered.sender !== undefined
    this.#ledger.append(this.#ledger.nextId(), transit, remembered, this.#kept)
  }

  readonly #kept = (transit: Transit, id: LogId, error?: Error): void => {
    let refusal: StanzaError | undefined
    try {
      if (error !== undefined) refusal = this.#notStored(transit, error)
      else {
        if (!transit.isKeptBySender) this.#rememberResends(transit)
        this.#deliver(transit, id)
      }
    } catch (thrown) {
      if (thrown instanceof StanzaError) refusal = this.#refuseTransit(transit, thrown)
      else this.#onFailure(transit.stanza, thrown)
    }
    transit.inflow?.settle(transit.ticket, id, refusal)
    transit.stay?.end()
  }

  #rememberResends({ session, stanza, to }: Transit): void {
    if (session !== undefined) this.#resends.remember(session, stanza, to)
  }

  #notStored(transit: Transit, error: Error): StanzaError {
    this.#onFailure(transit.stanza, error)
    return this.#refuseTransit(transit, new StanzaError('resource-constraint'))
  }

  /** Who sent it from another node is told there. */
  #refuseTransit({ stanza, arrival }: Transit, refusal: StanzaError): StanzaError {
    if (arrival === undefined) this.#bounce(stanza, refusal)
    return refusal
  }

  /** XEP-0359 §3, XEP-0203 §4: what claims to be an id by the recipient's or the sender's account, or a delay by this server, was put there by somebody else. */
  #clean({ stanza, to, from }: Transit): Stanza {
    const isSpoofed = (payload: Payload): boolean =>
      isSpoofedStanzaId(payload, stanza, to.bareAddress) ||
      isSpoofedStanzaId(payload, stanza, from.bareAddress) ||
      claimsDelayBy(payload, stanza, this.#domain)
    return stanza.payloads.some(isSpoofed) ? stanza.restamp({ drop: isSpoofed }) : stanza
  }

  #localAccount(from: Address): BareJid | undefined {
    return this.isLocal(from) && from.localpart !== '' ? from.bare : undefined
  }

  #deliver(transit: Transit, entry: LogId | undefined): void {
    const { stanza, to, from, session, arrival } = transit
    const recipients = this.#delivery.recipients(stanza, to)
    this.#delivery.send(stanza, to, recipients, entry)
    transit.entry = entry
    transit.recipients = recipients
    if (session !== undefined || (arrival === undefined && this.#localAccount(from) !== undefined))
      this.#hooks.observe(this.#hooks.chain('sent', 'message'), transit)
    this.#hooks.observe(this.#hooks.chain('inbound', 'message'), transit)
    if (recipients.length === 0) this.#hooks.observe(this.#hooks.chain('undelivered', 'message'), transit)
  }

  /** A message that is visible before it is stored, or that is not stored at all. */
  #arrive(transit: Transit, remembered: Remembered | undefined): undefined | 'stored' {
    transit.stanza = this.#clean(transit)
    const { stanza, to } = transit
    if (remembered === undefined) {
      const recipients = this.#delivery.recipients(stanza, to)
      // RFC 6121 §8.5.2.2.1: what may not be kept and has text is returned; a bare chat state is not worth an error.
      if (recipients.length === 0 && stanza.has('jabber:client', 'body') && stanza.type !== 'headline' && stanza.type !== 'error')
        throw new StanzaError('service-unavailable')
      this.#deliver(transit, undefined)
      return undefined
    }
    if (this.#ledger.mode === 'relaxed') {
      const id = this.#ledger.nextId()
      this.#ledger.append(id, transit, remembered, this.#keptLate)
      if (remembered.sender === undefined) this.#rememberResends(transit)
      this.#deliver(transit, id)
      return undefined
    }
    const recipients = this.#delivery.recipients(stanza, to)
    // RFC 6120 §10.1: it must not come before those that a recipient is still to read from the ledger.
    const canGo = recipients.some((each) => !this.#delivery.isBehind(each)) && !recipients.some((each) => each.isCatchingUp)
    if (canGo) {
      this.#deliver(transit, undefined)
      return undefined
    }
    // Nobody is there to take it: this is what the ledger is for, whatever its mode.
    return this.#keep(transit, remembered)
  }

  readonly #keptLate = (transit: Transit, _id: LogId, error?: Error): void => {
    if (error === undefined) return
    this.#rememberResends(transit)
    this.#onFailure(transit.stanza, error)
  }

  /** A message of a session that ended, which was neither taken nor in the ledger; `hadOthers`: other resources were there for those to the bare JID. */
  salvage(message: Stanza, hadOthers: boolean): void {
    const { from, to } = message
    if (from === undefined || to === undefined || !isStorable(message) || (hadOthers && to.resourcepart === '')) return
    const transit = new Transit(message, from, to, undefined)
    const remembered = this.#rememberers(transit)
    if (remembered instanceof Promise)
      remembered.then((each) => this.#append(transit, each)).catch((error: Error) => this.#notStored(transit, error))
    else this.#append(transit, remembered)
  }

  // ---- iq

  #iqFrom(transit: Transit): undefined | Promise<undefined> {
    const forwarding = this.#wayTo(transit.to, transit.from)
    if (forwarding === undefined) return this.#staying(transit, (staying) => this.#iqHere(staying))
    if (!this.isServed(transit.to)) throw new StanzaError('remote-server-not-found')
    forwarding.send(homeKey(transit.to), transit.stanza)
    return undefined
  }

  #iqHere(transit: Transit): undefined | Promise<undefined> {
    const { to } = transit
    if (!this.isLocal(to)) return this.#answerIq(this.#serviceOf(to).iq, transit)
    if (to.localpart === '') return this.#answerIq(this.#iq, transit)
    const chain = this.#hooks.chain('inbound', 'iq')
    return then(this.#hooks.pass(chain, transit), (passed): undefined | Promise<undefined> => {
      if (passed === undefined) return undefined
      transit.stanza = passed
      // RFC 6121 §8.5.2.1.3: a request to the bare JID is answered by the server on the account's behalf.
      const answered = to.resourcepart === '' ? this.#answerIq(this.#iq, transit) : this.#iqToSession(transit)
      this.#hooks.observe(chain, transit)
      return answered
    })
  }

  #answerIq(iq: IqDispatch, { stanza, from, to, session }: Transit): undefined | Promise<undefined> {
    const answer = (reply: Stanza | undefined): undefined => {
      if (reply !== undefined) this.#answer(reply, session)
    }
    const reply = iq.handle(stanza, from, to, session)
    return reply instanceof Promise ? reply.then(answer) : answer(reply)
  }

  #answer(reply: Stanza, session: Session | undefined): void {
    if (session !== undefined) session.send(reply)
    else this.route(reply)
  }

  #iqToSession({ stanza, to }: Transit): undefined {
    const session = this.#sessions.get(to)
    if (session !== undefined) session.send(stanza)
    // RFC 6121 §8.5.3.2.3: nobody there; an answer to nobody is dropped.
    else if (stanza.type === 'get' || stanza.type === 'set') throw new StanzaError('service-unavailable')
  }

  // ---- presence

  #presenceFrom(transit: Transit): undefined | Promise<undefined> {
    const { stanza } = transit
    const type = stanza.type ?? 'available'
    if (type !== 'available' && !PRESENCE_TYPES.has(type)) throw new StanzaError('bad-request')
    const handle = this.#presence.get(`${stanza.to === undefined ? 'broadcast' : 'directed'} ${type}`)
    return handle?.(transit)?.then(() => undefined) as undefined | Promise<undefined>
  }

  #inboundPresence(transit: Transit): undefined | Promise<undefined> {
    const forwarding = this.#wayTo(transit.to, transit.from)
    if (forwarding === undefined) return this.#staying(transit, (staying) => this.#presenceHere(staying))
    return then(this.#hooks.pass(this.#hooks.chain('leaving', 'presence'), transit), (passed) => {
      if (passed !== undefined) forwarding.send(homeKey(transit.to), passed)
      return undefined
    })
  }

  #presenceHere(transit: Transit): undefined | Promise<undefined> {
    const { stanza, to } = transit
    const hosted = this.#services.get(to.domainpart)
    if (hosted !== undefined) return hosted.service.presence?.(transit)?.then(() => undefined) as undefined | Promise<undefined>
    const chain = this.#hooks.chain('inbound', 'presence')
    return then(this.#hooks.pass(chain, transit), (passed) => {
      if (passed === undefined || to.localpart === '') return undefined
      transit.stanza = passed
      const handled = this.#presence.get(`inbound ${stanza.type ?? 'available'}`)?.(transit)
      this.#hooks.observe(chain, transit)
      return handled?.then(() => undefined)
    }) as undefined | Promise<undefined>
  }

  // ---- errors

  /** Tells the sender of a stanza why it was refused; never answers an error or an answer (RFC 6120 §8.3.1, §8.2.3). */
  refuse(session: Session, stanza: Stanza, error: StanzaError): void {
    const reply = this.#refusal(stanza, error, session.address)
    if (reply !== undefined) session.send(reply)
  }

  #bounce(stanza: Stanza, error: StanzaError): void {
    const from = stanza.from
    if (from === undefined) return
    const reply = this.#refusal(stanza, error, from)
    if (reply === undefined) return
    const session = this.#sessions.get(from)
    if (session !== undefined) session.send(reply)
    else if (this.#wayTo(from) !== undefined) this.route(reply)
  }

  #refusal(stanza: Stanza, error: StanzaError, sender: Address): Stanza | undefined {
    const reply = refusal(stanza, error, sender)
    if (reply !== undefined) this.#onRefused(error.condition)
    return reply
  }
}

const endUnlessStored = (stay: Stay): void => {
  if (!stay.isStored) stay.end()
}

const NOBODY: readonly Session[] = []

const refusal = (stanza: Stanza, error: StanzaError, sender: Address): Stanza | undefined => {
  const type = stanza.type
  if (type === 'error' || (stanza.kind === 'iq' && type === 'result')) return undefined
  const from = stanza.hasMalformedAddress ? undefined : (stanza.to ?? sender.bareAddress)
  const attributes = { from, to: sender, id: stanza.id, type: 'error' }
  return stanza.kind === 'iq' ? iq(attributes, error.toElement()) : makeStanza(stanza.kind, attributes, error.toElement())
}
