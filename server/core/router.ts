import { claimsDelayBy } from '#stanzas/delay.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { iq, stanza as makeStanza, type Payload, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import { isSpoofedStanzaId } from '#stanzas/stanza-id.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Accounts } from './accounts.ts'
import type { Delivery } from './delivery.ts'
import { type Arrival, type Forwarding, homeKey } from './forwarding.ts'
import type { Hooks, Passage } from './hooks.ts'
import type { Handled, Inflow } from './inflow.ts'
import type { IqDispatch } from './iq.ts'
import type { Ledger, Remembered } from './ledger.ts'
import type { PresenceRegistration, PresenceType, Service } from './module.ts'
import type { PendingLimit } from './pending-limit.ts'
import type { Resends } from './resends.ts'
import type { Stay } from './residence.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'
import { isStorable } from './storable.ts'

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
  #staying<T>(passage: Passage, run: (staying: Passage) => T | Promise<T>): T | Promise<T> {
    if (this.#forwarding === undefined || (passage.to.localpart === '' && this.isLocal(passage.to))) return run(passage)
    const stay = this.#forwarding.stay(homeKey(passage.to))
    let outcome: T | Promise<T>
    try {
      outcome = run({ ...passage, stay })
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
    const passage: Passage = { stanza, from, to, session: undefined, arrival }
    if (stanza.kind === 'presence') return this.#presenceHere(passage)
    if (stanza.kind === 'iq') return this.#iqHere(passage)
    return this.#messageHere(passage)
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
    const passage: Passage = { stanza, from: session.address, to, session }
    const chain = this.#hooks.chain('sent', stanza.kind)
    return then(this.#hooks.pass(chain, passage), (passed) => {
      if (passed === undefined) return undefined
      const next = passed === stanza ? passage : { ...passage, stanza: passed }
      if (stanza.kind === 'message') return this.#message(next)
      this.#hooks.observe(chain, next)
      return stanza.kind === 'iq' ? this.#iqFrom(next) : this.#presenceFrom(next)
    })
  }

  /** Sends a stanza of the server's or a module's own. It has both addresses. */
  route(stanza: Stanza): void {
    const { from, to } = stanza
    if (from === undefined || to === undefined) throw new Error('a routed stanza needs both addresses')
    const passage: Passage = { stanza, from, to, session: undefined }
    const failed = (error: unknown): undefined => {
      if (error instanceof StanzaError) this.#bounce(stanza, error)
      else this.#onFailure(stanza, error)
    }
    try {
      if (!this.isServed(to)) return
      const settled =
        stanza.kind === 'presence'
          ? this.#inboundPresence(passage)
          : stanza.kind === 'iq'
            ? this.#iqFrom(passage)
            : this.#message(passage)
      if (settled instanceof Promise) settled.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  // ---- message

  #message(passage: Passage): Handled | Promise<Handled> {
    if (this.#forwarding === undefined) return this.#messageHere(passage)
    const forwarding = this.#wayTo(passage.to, passage.from)
    return forwarding === undefined
      ? this.#staying(passage, (staying) => this.#messageHere(staying))
      : this.#messageElsewhere(forwarding, passage)
  }

  #messageElsewhere(forwarding: Forwarding, passage: Passage): Handled | Promise<Handled> {
    const { session, from, to } = passage
    if (!this.isServed(to)) throw new StanzaError('remote-server-not-found')
    const clean = { ...passage, stanza: this.#clean(passage), recipients: [] }
    const { stanza } = clean
    const forward = (sender: BareJid | undefined): Handled => {
      const ticket = session?.ticket() ?? 0
      const done = (id: LogId | undefined, refusal?: StanzaError): void => {
        this.#arrivedElsewhere(clean, sender, id, refusal)
        session?.settle(ticket)
      }
      forwarding.send(homeKey(to), stanza, { isKeptBySender: sender !== undefined, done })
      return session === undefined ? undefined : 'stored'
    }
    if (!isStorable(stanza) || !this.isLocal(to)) {
      forwarding.send(homeKey(to), stanza)
      this.#observeSent(clean)
      return undefined
    }
    const keep = (): Handled | Promise<Handled> => then(this.#ledger.senderPlace(stanza, this.#localAccount(from), to), forward)
    if (session?.mayResend !== true) return keep()
    // DESIGN P2, as in #accept.
    return then(this.#resends.has(session, stanza, to), (isThere) => (isThere ? undefined : keep()))
  }

  #arrivedElsewhere(
    passage: Passage,
    sender: BareJid | undefined,
    id: LogId | undefined,
    refusal: StanzaError | undefined,
  ): void {
    const { session, stanza, from, to } = passage
    try {
      if (refusal !== undefined) {
        if (session === undefined) this.#bounce(stanza, refusal)
        else this.refuse(session, stanza, refusal)
        return
      }
      if (sender === undefined) this.#rememberResends(passage)
      if (id !== undefined) this.#ledger.onKept?.(id, stanza, from, to)
      this.#observeSent({ ...passage, entry: id })
    } catch (error) {
      this.#onFailure(stanza, error)
    }
  }

  #observeSent(passage: Passage): void {
    if (passage.session !== undefined || this.#localAccount(passage.from) !== undefined)
      this.#hooks.observe(this.#hooks.chain('sent', 'message'), passage)
  }

  #messageHere(passage: Passage): Handled | Promise<Handled> {
    const { stanza, to } = passage
    if (!this.isLocal(to)) return this.#messageAbroad(passage)
    // RFC 6120 §10.5.2: the server itself takes no messages.
    if (to.localpart === '') return this.#refuseMessage(passage)
    return then(this.#accounts.exists(to.bare), (exists) => {
      // RFC 6121 §8.5.1: an unknown account.
      if (!exists) return this.#refuseMessage(passage)
      const chain = this.#hooks.chain('inbound', 'message')
      return then(this.#hooks.pass(chain, passage), (passed) => {
        if (passed === undefined) return undefined
        const next = passed === stanza ? passage : { ...passage, stanza: passed }
        const keep = isStorable(passed)
        if (!keep || this.#isThere(to)) return this.#accept(next, keep)
        return then(this.#pendingLimit.admits(to.bare), (isAdmitted) => {
          // XEP-0160 §2: so much waits for the account that it is as if nothing could.
          if (!isAdmitted) throw new StanzaError('service-unavailable')
          return this.#accept(next, keep)
        })
      })
    })
  }

  #messageAbroad(passage: Passage): undefined | Promise<undefined> {
    const { stanza, to, session } = passage
    const handle = this.#serviceOf(to).service.message
    if (handle === undefined) return this.#refuseMessage(passage)
    const pass = (): undefined | Promise<undefined> =>
      then(handle(passage), () => {
        if (session !== undefined) this.#hooks.observe(this.#hooks.chain('sent', stanza.kind), { ...passage, recipients: [] })
        return undefined
      })
    const waiting = inflowOf(passage)?.drained()
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

  #accept(passage: Passage, keep: boolean): Handled | Promise<Handled> {
    const { session, stanza, to, arrival } = passage
    const behind = arrival?.isBehind
    if (!keep || (session?.mayResend !== true && behind === undefined)) return this.#take(passage, keep)
    // DESIGN P2: what the ledger has is acknowledged, and neither stored nor delivered twice.
    const isThere =
      behind === undefined || session !== undefined
        ? session !== undefined && this.#resends.has(session, stanza, to)
        : this.#arrivedBefore(behind, passage)
    return then(isThere, (has) => (has ? undefined : this.#take(passage, keep)))
  }

  /** It was sent here before, perhaps over a link that broke: what came then may still wait for the disk. */
  async #arrivedBefore(behind: LogId, passage: Passage): Promise<boolean> {
    await inflowOf(passage)?.drained()
    return this.#resends.isBehind(behind, passage.stanza, passage.from, passage.to)
  }

  #take(passage: Passage, keep: boolean): Handled | Promise<Handled> {
    return keep ? then(this.#rememberers(passage), (remembered) => this.#go(passage, remembered)) : this.#go(passage, undefined)
  }

  #rememberers({ stanza, from, to, arrival }: Passage): Remembered | Promise<Remembered> {
    const account = this.#localAccount(from)
    if (arrival !== undefined) return this.#ledger.rememberers(stanza, arrival.isKeptBySender ? account : undefined, from, to)
    return then(this.#ledger.senderPlace(stanza, account, to), (sender) => this.#ledger.rememberers(stanza, sender, from, to))
  }

  #go(passage: Passage, remembered: Remembered | undefined): Handled | Promise<Handled> {
    if (remembered !== undefined && this.#ledger.mode === 'durable') return this.#store(passage, remembered)
    const waiting = inflowOf(passage)?.drained()
    if (waiting !== undefined) return waiting.then(() => this.#arrive(passage, remembered))
    return this.#arrive(passage, remembered)
  }

  #refuseMessage({ stanza }: Passage): undefined {
    if (stanza.type !== 'headline') throw new StanzaError('service-unavailable')
    return undefined
  }

  /** DESIGN P1: durable, then visible, then acknowledged. */
  #store(passage: Passage, remembered: Remembered): 'stored' | undefined {
    const stanza = this.#clean(passage)
    return this.#keep(stanza === passage.stanza ? passage : { ...passage, stanza }, remembered)
  }

  #keep(clean: Passage, remembered: Remembered): 'stored' | undefined {
    const inflow = inflowOf(clean)
    const ticket = inflow?.ticket() ?? 0
    const id = this.#ledger.nextId()
    this.#append(id, clean, remembered, (refusal) => inflow?.settle(ticket, id, refusal))
    return inflow === undefined ? undefined : 'stored'
  }

  #append(id: LogId, passage: Passage, remembered: Remembered, settled: (refusal: StanzaError | undefined) => void): void {
    const { stanza, stay } = passage
    if (stay !== undefined) stay.isStored = true
    this.#ledger.append(id, stanza, passage.from, passage.to, remembered, (error) => {
      let refusal: StanzaError | undefined
      try {
        if (error !== undefined) refusal = this.#notStored(passage, error)
        else {
          if (remembered.sender === undefined) this.#rememberResends(passage)
          this.#deliver(passage, id)
        }
      } catch (thrown) {
        if (thrown instanceof StanzaError) refusal = this.#refusePassage(passage, thrown)
        else this.#onFailure(stanza, thrown)
      }
      settled(refusal)
      stay?.end()
    })
  }

  #rememberResends({ session, stanza, to }: Passage): void {
    if (session !== undefined) this.#resends.remember(session, stanza, to)
  }

  #notStored(passage: Passage, error: Error): StanzaError {
    this.#onFailure(passage.stanza, error)
    return this.#refusePassage(passage, new StanzaError('resource-constraint'))
  }

  /** Who sent it from another node is told there. */
  #refusePassage({ stanza, arrival }: Passage, refusal: StanzaError): StanzaError {
    if (arrival === undefined) this.#bounce(stanza, refusal)
    return refusal
  }

  /** XEP-0359 §3, XEP-0203 §4: what claims to be an id by the recipient's or the sender's account, or a delay by this server, was put there by somebody else. */
  #clean({ stanza, to, from }: Passage): Stanza {
    const isSpoofed = (payload: Payload): boolean =>
      isSpoofedStanzaId(payload, stanza, to.bareAddress) ||
      isSpoofedStanzaId(payload, stanza, from.bareAddress) ||
      claimsDelayBy(payload, stanza, this.#domain)
    return stanza.payloads.some(isSpoofed) ? stanza.restamp({ drop: isSpoofed }) : stanza
  }

  #localAccount(from: Address): BareJid | undefined {
    return this.isLocal(from) && from.localpart !== '' ? from.bare : undefined
  }

  #deliver(passage: Passage, entry: LogId | undefined): void {
    const { stanza, to, from, session, arrival } = passage
    const recipients = this.#delivery.recipients(stanza, to)
    this.#delivery.send(stanza, to, recipients, entry)
    const told = { ...passage, entry, recipients }
    if (session !== undefined || (arrival === undefined && this.#localAccount(from) !== undefined))
      this.#hooks.observe(this.#hooks.chain('sent', 'message'), told)
    this.#hooks.observe(this.#hooks.chain('inbound', 'message'), told)
    if (recipients.length === 0) this.#hooks.observe(this.#hooks.chain('undelivered', 'message'), told)
  }

  /** A message that is visible before it is stored, or that is not stored at all. */
  #arrive(passage: Passage, remembered: Remembered | undefined): undefined | 'stored' {
    const clean = { ...passage, stanza: this.#clean(passage) }
    const { stanza, from, to } = clean
    if (remembered === undefined) {
      const recipients = this.#delivery.recipients(stanza, to)
      // RFC 6121 §8.5.2.2.1: what may not be kept and has text is returned; a bare chat state is not worth an error.
      if (recipients.length === 0 && stanza.has('jabber:client', 'body') && stanza.type !== 'headline' && stanza.type !== 'error')
        throw new StanzaError('service-unavailable')
      this.#deliver(clean, undefined)
      return undefined
    }
    if (this.#ledger.mode === 'relaxed') {
      const id = this.#ledger.nextId()
      this.#ledger.append(id, stanza, from, to, remembered, (error) => {
        if (error === undefined) return
        this.#rememberResends(clean)
        this.#onFailure(stanza, error)
      })
      if (remembered.sender === undefined) this.#rememberResends(clean)
      this.#deliver(clean, id)
      return undefined
    }
    const recipients = this.#delivery.recipients(stanza, to)
    // RFC 6120 §10.1: it must not come before those that a recipient is still to read from the ledger.
    const canGo = recipients.some((each) => !this.#delivery.isBehind(each)) && !recipients.some((each) => each.isCatchingUp)
    if (canGo) {
      this.#deliver(clean, undefined)
      return undefined
    }
    // Nobody is there to take it: this is what the ledger is for, whatever its mode.
    return this.#keep(clean, remembered)
  }

  /** A message of a session that ended, which was neither taken nor in the ledger; `hadOthers`: other resources were there for those to the bare JID. */
  salvage(message: Stanza, hadOthers: boolean): void {
    const { from, to } = message
    if (from === undefined || to === undefined || !isStorable(message) || (hadOthers && to.resourcepart === '')) return
    const passage: Passage = { stanza: message, from, to, session: undefined }
    const keep = (remembered: Remembered): void => this.#append(this.#ledger.nextId(), passage, remembered, () => undefined)
    const remembered = this.#rememberers(passage)
    if (remembered instanceof Promise) remembered.then(keep).catch((error: Error) => this.#notStored(passage, error))
    else keep(remembered)
  }

  // ---- iq

  #iqFrom(passage: Passage): undefined | Promise<undefined> {
    const forwarding = this.#wayTo(passage.to, passage.from)
    if (forwarding === undefined) return this.#staying(passage, (staying) => this.#iqHere(staying))
    if (!this.isServed(passage.to)) throw new StanzaError('remote-server-not-found')
    forwarding.send(homeKey(passage.to), passage.stanza)
    return undefined
  }

  #iqHere(passage: Passage): undefined | Promise<undefined> {
    const { stanza, to } = passage
    if (!this.isLocal(to)) return this.#answerIq(this.#serviceOf(to).iq, passage)
    if (to.localpart === '') return this.#answerIq(this.#iq, passage)
    const chain = this.#hooks.chain('inbound', 'iq')
    return then(this.#hooks.pass(chain, passage), (passed): undefined | Promise<undefined> => {
      if (passed === undefined) return undefined
      const next = passed === stanza ? passage : { ...passage, stanza: passed }
      // RFC 6121 §8.5.2.1.3: a request to the bare JID is answered by the server on the account's behalf.
      const answered = to.resourcepart === '' ? this.#answerIq(this.#iq, next) : this.#iqToSession(next)
      this.#hooks.observe(chain, next)
      return answered
    })
  }

  #answerIq(iq: IqDispatch, { stanza, from, to, session }: Passage): undefined | Promise<undefined> {
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

  #iqToSession({ stanza, to }: Passage): undefined {
    const session = this.#sessions.get(to)
    if (session !== undefined) session.send(stanza)
    // RFC 6121 §8.5.3.2.3: nobody there; an answer to nobody is dropped.
    else if (stanza.type === 'get' || stanza.type === 'set') throw new StanzaError('service-unavailable')
  }

  // ---- presence

  #presenceFrom(passage: Passage): undefined | Promise<undefined> {
    const { stanza } = passage
    const type = stanza.type ?? 'available'
    if (type !== 'available' && !PRESENCE_TYPES.has(type)) throw new StanzaError('bad-request')
    const handle = this.#presence.get(`${stanza.to === undefined ? 'broadcast' : 'directed'} ${type}`)
    return handle?.(passage)?.then(() => undefined) as undefined | Promise<undefined>
  }

  #inboundPresence(passage: Passage): undefined | Promise<undefined> {
    const forwarding = this.#wayTo(passage.to, passage.from)
    if (forwarding === undefined) return this.#staying(passage, (staying) => this.#presenceHere(staying))
    return then(this.#hooks.pass(this.#hooks.chain('leaving', 'presence'), passage), (passed) => {
      if (passed !== undefined) forwarding.send(homeKey(passage.to), passed)
      return undefined
    })
  }

  #presenceHere(passage: Passage): undefined | Promise<undefined> {
    const { stanza, to } = passage
    const hosted = this.#services.get(to.domainpart)
    if (hosted !== undefined) return hosted.service.presence?.(passage)?.then(() => undefined) as undefined | Promise<undefined>
    const chain = this.#hooks.chain('inbound', 'presence')
    return then(this.#hooks.pass(chain, passage), (passed) => {
      if (passed === undefined || to.localpart === '') return undefined
      const next = { ...passage, stanza: passed }
      const handled = this.#presence.get(`inbound ${stanza.type ?? 'available'}`)?.(next)
      this.#hooks.observe(chain, next)
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

/** Who is told when a message is durable. */
const inflowOf = ({ session, arrival }: Passage): Inflow | undefined => session ?? arrival?.inflow

const refusal = (stanza: Stanza, error: StanzaError, sender: Address): Stanza | undefined => {
  const type = stanza.type
  if (type === 'error' || (stanza.kind === 'iq' && type === 'result')) return undefined
  const from = stanza.hasMalformedAddress ? undefined : (stanza.to ?? sender.bareAddress)
  const attributes = { from, to: sender, id: stanza.id, type: 'error' }
  return stanza.kind === 'iq' ? iq(attributes, error.toElement()) : makeStanza(stanza.kind, attributes, error.toElement())
}
