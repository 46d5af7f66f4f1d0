import type { Clock } from '#server/base/clock.ts'
import type { Address } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { readStanzaError, StanzaError } from '#stanzas/stanza-error.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import { parseElement } from '#stanzas/xml-stream.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Bus, NodeId } from './bus.ts'
import { type Handled, Inflow } from './inflow.ts'
import type { Ledger } from './ledger.ts'
import type { Residence } from './residence.ts'

/** What became of a message at the home of its addressee: where it is in the ledger, if it is there, or why it was refused. */
export interface Outcome {
  readonly id?: LogId | undefined
  readonly refusal?: StanzaError | undefined
}

/** A message whose sender waits until it is durable. */
export interface Awaited {
  /** Whether the sender's account remembers it, too. */
  readonly isKeptBySender: boolean
  readonly done: (outcome: Outcome) => void
}

/** A stanza that came to the home of its addressee from somewhere else. */
export interface Arrival {
  /** What its sender sends here, in order; it settles what is stored. */
  readonly inflow: Inflow
  /** Whether the sender's account remembers it, too, if it is a message that is kept. */
  readonly isKeptBySender: boolean
  /** It was sent before, to a node that was lost: it may be in the log of the addressee, behind this entry. */
  readonly isBehind: LogId | undefined
}

/** Something that is done here for an address: it is not given to another node before `end`, which is called once, by whoever is last. */
export interface Stay {
  /** The stanza is on its way to the disk, and ends it there. */
  isStored: boolean
  readonly end: () => void
}

/** Handles what arrives here for an address that is at home here, or for an account that is at home nowhere and needs no home for it. */
export type Arrive = (stanza: Stanza, from: Address, to: Address, arrival: Arrival) => Handled | Promise<Handled>

interface Forward {
  readonly stanza: Stanza
  readonly awaited: Awaited | undefined
  isBehind: LogId | undefined
}

/** How stanzas to one address go while something is open there. */
interface Way {
  node: NodeId | undefined
  /** Messages that were sent to that node and are not answered; while there are any, everything goes the same way. */
  open: number
  /** What waits until it is known where the address is at home. */
  waiting: Forward[] | undefined
  /** Who waits for that. */
  onCleared?: (() => void)[]
}

const STANZA = 'stanza'
const MESSAGE = 'message'
const ANSWER = 'message-answer'

/** How long after a home could not be found or reached it is looked for again, and for how long at most. */
const RETRY_MS = 250
const GIVE_UP_MS = 60_000
/** Stanzas to one address that wait for its home. */
const MAX_WAITING = 1_000
/** Senders that are remembered though nothing of theirs is under way: most go on. */
const MAX_IDLE_SENDERS = 10_000

/** Who answers for a domain of its own, or for an account. */
export const homeKey = (to: Address): string => (to.localpart === '' ? to.domainpart : to.bare)

/** Of what goes to accounts, subscriptions change the roster, and requests are answered; all else is nothing to who is away. */
const needsAccount = ({ kind, type }: Stanza): boolean => {
  if (kind === 'iq') return type === 'get' || type === 'set'
  return (
    kind === 'presence' && (type === 'subscribe' || type === 'subscribed' || type === 'unsubscribe' || type === 'unsubscribed')
  )
}

/** Who is available concerns the devices of an account alone: of one that is at home nowhere not even the list of whom it blocks is read. */
const isForDevices = ({ stanza: { kind, type } }: Forward): boolean =>
  kind === 'presence' && (type === undefined || type === 'unavailable')

/**
 * Stanzas to addresses that are at home at other nodes (decision 0010), in order for each sender and addressee (RFC 6120 §10.1). A message that is kept is answered when it is durable there;
 * one whose node is lost before that is sent again to the next home, which looks whether it has it. Anything else is sent, and forgotten.
 */
export class Forwarding {
  /** Stanzas that went to other nodes, that came from them, and messages that were sent again after a node was lost. */
  readonly counts = { sent: 0, received: 0, repeated: 0 }
  readonly #bus: Bus
  readonly #residence: Residence
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #domain: string
  readonly #arrive: Arrive
  readonly #onFailure: (stanza: Stanza, error: unknown) => void
  readonly #ways = new Map<string, Way>()
  /** By node, in the order they were sent. */
  readonly #unanswered = new Map<number, Map<number, { readonly key: string; readonly forward: Forward }>>()
  readonly #senders = new Map<string, RemoteSender>()
  #lastNumber = 0

  constructor(parts: {
    readonly bus: Bus
    readonly residence: Residence
    readonly ledger: Ledger
    readonly clock: Clock
    /** That of the accounts; what has another belongs to a service. */
    readonly domain: string
    readonly arrive: Arrive
    /** A stanza that nobody waits for was refused (`StanzaError`) or could not be handled. */
    readonly onFailure: (stanza: Stanza, error: unknown) => void
  }) {
    this.#bus = parts.bus
    this.#residence = parts.residence
    this.#ledger = parts.ledger
    this.#clock = parts.clock
    this.#domain = parts.domain
    this.#arrive = parts.arrive
    this.#onFailure = parts.onFailure
    this.#bus.onMessage(STANZA, (_from, payload) =>
      this.#take({ stanza: parseStanza(payload), awaited: undefined, isBehind: undefined }),
    )
    this.#bus.onMessage(MESSAGE, (from, payload) => this.#takeMessage(from, payload))
    this.#bus.onMessage(ANSWER, (from, payload) => this.#takeAnswer(from, payload))
    this.#bus.onPeerLost((node) => this.#lost(node))
  }

  /** Messages that other nodes have not answered. */
  get open(): number {
    let open = 0
    for (const each of this.#unanswered.values()) open += each.size
    return open
  }

  /** Whether the address is at home here, and nothing to it is on another way. */
  isHere(key: string): boolean {
    return this.#residence.isHere(key) && !this.#ways.has(key)
  }

  /** Whether something that this sender sent to addresses elsewhere has come back here, where they are by now, and is being handled. */
  isHandling(from: Address): boolean {
    return this.#senders.size > 0 && this.#senders.get(from.jid)?.isBusy === true
  }

  /** Something begins for an address that is at home here. */
  stay(key: string): Stay {
    this.#residence.enter(key)
    return { isStored: false, end: () => this.#residence.exit(key) }
  }

  /** Sends a stanza with both addresses to the home of its addressee, wherever that is. */
  send(key: string, stanza: Stanza, awaited?: Awaited): void {
    this.#send(key, { stanza, awaited, isBehind: undefined })
  }

  /** Resolves when nothing to the address waits until it is known where that is at home. */
  cleared(key: string): Promise<void> | undefined {
    const way = this.#ways.get(key)
    if (way?.waiting === undefined) return undefined
    return new Promise((resolve) => {
      way.onCleared ??= []
      way.onCleared.push(resolve)
    })
  }

  #send(key: string, forward: Forward): void {
    const way = this.#ways.get(key)
    if (way?.waiting !== undefined) return this.#wait(way.waiting, forward)
    const node = way === undefined ? this.#residence.knownNode(key) : way.node
    if (node !== undefined && this.#transmit(key, node, forward)) return
    this.#look(key, [forward])
  }

  #wait(waiting: Forward[], forward: Forward): void {
    if (waiting.length < MAX_WAITING) waiting.push(forward)
    else this.#refuse(forward, new StanzaError('resource-constraint'))
  }

  #refuse({ stanza, awaited }: Forward, refusal: StanzaError): void {
    if (awaited === undefined) this.#onFailure(stanza, refusal)
    else awaited.done({ refusal })
  }

  #transmit(key: string, node: NodeId, forward: Forward): boolean {
    const { stanza, awaited, isBehind } = forward
    if (awaited === undefined) {
      if (!this.#bus.send(node, STANZA, stanza.wire)) return false
      this.counts.sent++
      return true
    }
    const number = ++this.#lastNumber
    const before = this.#ledger.lastId
    const head = `${number} ${awaited.isKeptBySender ? 1 : 0} ${isBehind ?? 0} ${before}\n`
    if (!this.#bus.send(node, MESSAGE, wire(head + stanza.wire))) return false
    this.counts.sent++
    forward.isBehind ??= before
    const unanswered = this.#unanswered.get(node.epoch) ?? new Map()
    this.#unanswered.set(node.epoch, unanswered)
    unanswered.set(number, { key, forward })
    const way = this.#ways.get(key) ?? { node, open: 0, waiting: undefined }
    this.#ways.set(key, way)
    way.node = node
    way.open++
    return true
  }

  /** Finds out where the address is at home, and lets what waits go there. */
  #look(key: string, forwards: Forward[]): void {
    const way = this.#ways.get(key) ?? { node: undefined, open: 0, waiting: undefined }
    this.#ways.set(key, way)
    way.waiting = [...forwards, ...(way.waiting ?? [])]
    this.#find(key, way, this.#clock.monotonicMs() + GIVE_UP_MS)
  }

  #find(key: string, way: Way, deadlineMs: number): void {
    const claims = this.#needsHome(way)
    const again = (): void => {
      if (this.#clock.monotonicMs() < deadlineMs) this.#clock.after(RETRY_MS, () => this.#find(key, way, deadlineMs))
      else this.#giveUp(key, way)
    }
    this.#residence.find(key, claims).then((home) => {
      if (home !== 'here' && home !== 'nowhere') return this.#sendWaiting(key, way, home) ? undefined : again()
      // Another node has asked for it in just this moment, and got it.
      if (home === 'here' && !this.#residence.isHere(key)) return again()
      // Somebody came who needs one.
      if (home === 'nowhere' && !claims && this.#needsHome(way)) return this.#find(key, way, deadlineMs)
      this.#ways.delete(key)
      for (const forward of way.waiting ?? []) if (home === 'here' || !isForDevices(forward)) this.#handle(key, forward)
      this.#clear(way)
      if (home === 'nowhere') this.#residence.leave(key)
    }, again)
  }

  /** Whether all of what waits was sent to its home. */
  #sendWaiting(key: string, way: Way, home: NodeId): boolean {
    const { waiting = [] } = way
    while (waiting.length > 0) {
      const [first] = waiting
      if (first === undefined || !this.#transmit(key, home, first)) return false
      waiting.shift()
    }
    this.#clear(way)
    if (way.open === 0) this.#ways.delete(key)
    return true
  }

  /** Whether any of what waits is for an account that has to be at home somewhere, or for a service, which is never away. */
  #needsHome({ waiting = [] }: Way): boolean {
    return waiting.some(
      ({ stanza, awaited }) => awaited !== undefined || stanza.to?.domainpart !== this.#domain || needsAccount(stanza),
    )
  }

  #giveUp(key: string, way: Way): void {
    this.#ways.delete(key)
    for (const forward of way.waiting ?? []) this.#refuse(forward, new StanzaError('remote-server-timeout'))
    this.#clear(way)
  }

  #clear(way: Way): void {
    way.waiting = undefined
    for (const resolve of way.onCleared?.splice(0) ?? []) resolve()
  }

  /** The node was lost: what it has not answered it may have stored or not. */
  #lost(node: NodeId): void {
    const unanswered = this.#unanswered.get(node.epoch)
    if (unanswered === undefined) return
    this.#unanswered.delete(node.epoch)
    const byKey = new Map<string, Forward[]>()
    for (const { key, forward } of unanswered.values()) byKey.set(key, [...(byKey.get(key) ?? []), forward])
    for (const [key, forwards] of byKey) {
      const way = this.#ways.get(key)
      if (way !== undefined) way.open = 0
      this.counts.repeated += forwards.length
      if (way?.waiting === undefined) this.#look(key, forwards)
      else way.waiting.unshift(...forwards)
    }
  }

  #takeAnswer(from: NodeId, payload: Wire): void {
    const [number = '', id = ''] = payload.split(' ', 2)
    const refusal = payload.slice(number.length + id.length + 2)
    const unanswered = this.#unanswered.get(from.epoch)
    const sent = unanswered?.get(Number(number))
    if (unanswered === undefined || sent === undefined) return
    unanswered.delete(Number(number))
    const way = this.#ways.get(sent.key)
    if (way !== undefined && --way.open === 0 && way.waiting === undefined) this.#ways.delete(sent.key)
    this.#ledger.heardOf(Number(id))
    sent.forward.awaited?.done({
      id: id === '0' ? undefined : Number(id),
      refusal: refusal === '' ? undefined : readStanzaError(parseElement(wire(refusal))),
    })
  }

  #takeMessage(from: NodeId, payload: Wire): void {
    const end = payload.indexOf('\n')
    const [number = '', keeps = '', behind = '', before = ''] = payload.slice(0, end).split(' ')
    this.#ledger.heardOf(Number(before))
    const done = ({ id, refusal }: Outcome): void =>
      void this.#bus.send(
        from,
        ANSWER,
        wire(`${number} ${id ?? 0} ${refusal === undefined ? '' : serialize(refusal.toElement(), '')}`),
      )
    this.#take({
      stanza: parseStanza(wire(payload.slice(end + 1))),
      awaited: { isKeptBySender: keeps === '1', done },
      isBehind: behind === '0' ? undefined : Number(behind),
    })
  }

  #take(forward: Forward): void {
    this.counts.received++
    const { to } = forward.stanza
    if (to === undefined) return
    const key = homeKey(to)
    // It may have moved while this was on its way.
    if (this.isHere(key)) this.#handle(key, forward)
    else this.#send(key, forward)
  }

  #handle(key: string, forward: Forward): void {
    const { from } = forward.stanza
    if (from === undefined) return
    this.#residence.enter(key)
    const { jid } = from
    let sender = this.#senders.get(jid)
    if (sender === undefined) {
      sender = new RemoteSender({
        arrive: this.#arrive,
        handled: (address) => this.#residence.exit(address),
        idle: () => this.#leaveSender(jid),
        onFailure: this.#onFailure,
      })
      this.#senders.set(jid, sender)
    }
    sender.take(forward, key)
  }

  #leaveSender(jid: string): void {
    if (this.#senders.size > MAX_IDLE_SENDERS) this.#senders.delete(jid)
  }
}

/** A stanza from elsewhere, and the address that it keeps at home here until it is handled. */
interface Guest extends Forward {
  readonly key: string
}

/** What one sender elsewhere sends to addresses that are at home here. */
class RemoteSender extends Inflow {
  readonly #arrive: Arrive
  readonly #handled: (key: string) => void
  readonly #idle: () => void
  readonly #onFailure: (stanza: Stanza, error: unknown) => void
  readonly #waiting: Guest[] = []
  readonly #stored = new Map<number, Guest>()
  #current: Guest | undefined
  #open = 0

  constructor(parts: {
    readonly arrive: Arrive
    readonly handled: (key: string) => void
    readonly idle: () => void
    readonly onFailure: (stanza: Stanza, error: unknown) => void
  }) {
    super()
    this.#arrive = parts.arrive
    this.#handled = parts.handled
    this.#idle = parts.idle
    this.#onFailure = parts.onFailure
  }

  take({ stanza, awaited, isBehind }: Forward, key: string): void {
    this.#open++
    this.#waiting.push({ stanza, awaited, isBehind, key })
    this.receive(stanza)
  }

  protected handle(stanza: Stanza): Handled | Promise<Handled> {
    const guest = this.#waiting.shift()
    const { from, to } = stanza
    if (guest === undefined || from === undefined || to === undefined) return undefined
    this.#current = guest
    const arrival = { inflow: this, isKeptBySender: guest.awaited?.isKeptBySender === true, isBehind: guest.isBehind }
    const outcome = this.#arrive(stanza, from, to, arrival)
    return outcome instanceof Promise ? outcome.then((handled) => this.#done(guest, handled)) : this.#done(guest, outcome)
  }

  #done(guest: Guest, handled: Handled): Handled {
    if (handled !== 'stored') this.#conclude(guest, {})
    return handled
  }

  protected failed(stanza: Stanza, error: unknown): void {
    const guest = this.#current
    if (guest === undefined) return this.#onFailure(stanza, error)
    if (guest.awaited === undefined || !(error instanceof StanzaError)) this.#onFailure(stanza, error)
    this.#conclude(guest, { refusal: error instanceof StanzaError ? error : new StanzaError('internal-server-error') })
  }

  override ticket(): number {
    const ticket = super.ticket()
    if (this.#current !== undefined) this.#stored.set(ticket, this.#current)
    return ticket
  }

  override settle(ticket: number, id?: LogId, refusal?: StanzaError): void {
    const guest = this.#stored.get(ticket)
    this.#stored.delete(ticket)
    super.settle(ticket)
    if (guest !== undefined) this.#conclude(guest, { id, refusal })
  }

  #conclude({ awaited, key }: Guest, outcome: Outcome): void {
    awaited?.done(outcome)
    this.#handled(key)
    if (--this.#open === 0) this.#idle()
  }

  /** Its own session is read more slowly, where it is. */
  protected pause(): void {}
  protected resume(): void {}
}
