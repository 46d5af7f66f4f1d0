import type { Clock } from '#server/base/clock.ts'
import type { Address } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { readStanzaError, StanzaError } from '#stanzas/stanza-error.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import { parseElement } from '#stanzas/xml-stream.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Bus, NodeId } from './bus.ts'
import { Answers, encodeHead, readAnswers, readHead } from './forwarding-wire.ts'
import { type Handled, Inflow } from './inflow.ts'
import type { Ledger } from './ledger.ts'
import type { Residence, Stay } from './residence.ts'

/** A message whose sender waits until it is durable. */
export interface Awaited {
  /** Whether the sender's account remembers it, too. */
  readonly isKeptBySender: boolean
  /** Called once, when it is known what became of it at the home of its addressee: where it is in the ledger, if it is there, or why it was refused. */
  done(id: LogId | undefined, refusal?: StanzaError): void
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

/** Handles what arrives here for an address that is at home here, or for an account that is at home nowhere and needs no home for it. */
export type Arrive = (stanza: Stanza, from: Address, to: Address, arrival: Arrival) => Handled | Promise<Handled>

/** A stanza on its way to the home of its addressee. */
interface Forward {
  readonly key: string
  readonly stanza: Stanza
  readonly awaited: Awaited | undefined
  isBehind: LogId | undefined
  /** On which it is counted as open. */
  way: Way | undefined
  /** What keeps the address at home here, once it is there. */
  stay: Stay | undefined
}

/** How stanzas to one address go. */
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
const ANSWERS = 'message-answers'
const REFUSAL = 'message-refusal'

/** How long after a home could not be found or reached it is looked for again, and for how long at most. */
const RETRY_MS = 250
const GIVE_UP_MS = 60_000
/** Stanzas to one address that wait for its home. */
const MAX_WAITING = 1_000
/** Senders, and ways to addresses, that are remembered though nothing is under way: most go on. */
const MAX_IDLE = 10_000

/** Who answers for a domain of its own, or for an account. */
export const homeKey = (to: Address): string => (to.localpart === '' ? to.domainpart : to.bare)

/** Another node: what it was sent and what it is to be told. */
interface Peer {
  /** By their numbers, in the order they were sent. No number is given twice, lest a late answer be taken for another's. */
  readonly unanswered: Map<number, Forward>
  lastNumber: number
  /** The last id that it knows this node to have known of. */
  toldId: LogId
  readonly answers: Answers
  /** Whether answers go off as soon as what brings them is over. */
  isDue: boolean
}

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
  readonly #peers = new Map<number, Peer>()
  readonly #senders = new Map<string, RemoteSender>()
  /** How many of them have sent something that is not over. */
  #openSenders = 0

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
    this.#bus.onMessage(STANZA, (_from, payload) => this.#take(parseStanza(payload), undefined, undefined))
    this.#bus.onMessage(MESSAGE, (from, payload) => this.#takeMessage(from, payload))
    this.#bus.onMessage(ANSWERS, (from, payload) => this.#takeAnswers(from, payload))
    this.#bus.onMessage(REFUSAL, (from, payload) => this.#takeRefusal(from, payload))
    this.#bus.onPeerLost((node) => this.#lost(node))
  }

  /** Messages that other nodes have not answered. */
  get open(): number {
    let open = 0
    for (const { unanswered } of this.#peers.values()) open += unanswered.size
    return open
  }

  /** Whether the address is at home here, and nothing to it is on another way. */
  isHere(key: string): boolean {
    if (!this.#residence.isHere(key)) return false
    const way = this.#ways.get(key)
    return way === undefined || isIdle(way)
  }

  /** Whether something that this sender sent to addresses elsewhere has come back here, where they are by now, and is being handled. */
  isHandling(from: Address): boolean {
    return this.#openSenders > 0 && this.#senders.get(from.jid)?.isBusy === true
  }

  /** Something begins for an address that is at home here. */
  stay(key: string): Stay {
    return this.#residence.enter(key)
  }

  /** Sends a stanza with both addresses to the home of its addressee, wherever that is. */
  send(key: string, stanza: Stanza, awaited?: Awaited): void {
    this.#send({ key, stanza, awaited, isBehind: undefined, way: undefined, stay: undefined })
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

  #send(forward: Forward): void {
    const { key } = forward
    const way = this.#ways.get(key)
    if (way?.waiting !== undefined) return this.#wait(way.waiting, forward)
    const node = way === undefined || way.open === 0 ? this.#residence.knownNode(key) : way.node
    if (node !== undefined && this.#transmit(way, node, forward)) return
    this.#look(key, [forward])
  }

  #wait(waiting: Forward[], forward: Forward): void {
    if (waiting.length < MAX_WAITING) waiting.push(forward)
    else this.#refuse(forward, new StanzaError('resource-constraint'))
  }

  #refuse({ stanza, awaited }: Forward, refusal: StanzaError): void {
    if (awaited === undefined) this.#onFailure(stanza, refusal)
    else awaited.done(undefined, refusal)
  }

  #transmit(known: Way | undefined, node: NodeId, forward: Forward): boolean {
    const { key, stanza, awaited } = forward
    if (awaited === undefined) {
      if (!this.#bus.send(node, STANZA, stanza.wire)) return false
      this.counts.sent++
      return true
    }
    const peer = this.#peer(node)
    const { lastId } = this.#ledger
    const head = encodeHead({
      number: ++peer.lastNumber,
      isKeptBySender: awaited.isKeptBySender,
      isBehind: forward.isBehind,
      lastId: lastId === peer.toldId ? undefined : lastId,
    })
    if (!this.#bus.send(node, MESSAGE, wire(head + stanza.wire))) return false
    this.counts.sent++
    peer.toldId = lastId
    peer.unanswered.set(peer.lastNumber, forward)
    forward.isBehind ??= lastId
    const way = known ?? this.#wayTo(key)
    way.node = node
    way.open++
    forward.way = way
    return true
  }

  #peer(node: NodeId): Peer {
    let peer = this.#peers.get(node.epoch)
    if (peer === undefined) {
      peer = { unanswered: new Map(), lastNumber: 0, toldId: 0, answers: new Answers(), isDue: false }
      this.#peers.set(node.epoch, peer)
    }
    return peer
  }

  #wayTo(key: string): Way {
    let way = this.#ways.get(key)
    if (way === undefined) {
      way = { node: undefined, open: 0, waiting: undefined }
      this.#ways.set(key, way)
    }
    return way
  }

  /** Finds out where the address is at home, and lets what waits go there. */
  #look(key: string, forwards: Forward[]): void {
    const way = this.#wayTo(key)
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
      for (const forward of way.waiting ?? []) if (home === 'here' || !isForDevices(forward)) this.#handle(forward)
      this.#clear(way)
      if (home === 'nowhere') this.#residence.leave(key)
    }, again)
  }

  /** Whether all of what waits was sent to its home. */
  #sendWaiting(key: string, way: Way, home: NodeId): boolean {
    const { waiting = [] } = way
    while (waiting.length > 0) {
      const [first] = waiting
      if (first === undefined || !this.#transmit(way, home, first)) return false
      waiting.shift()
    }
    this.#clear(way)
    this.#leaveWay(key, way)
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
    const peer = this.#peers.get(node.epoch)
    if (peer === undefined) return
    peer.toldId = 0
    const byKey = new Map<string, Forward[]>()
    for (const forward of peer.unanswered.values()) {
      if (forward.way !== undefined) forward.way.open--
      byKey.set(forward.key, [...(byKey.get(forward.key) ?? []), forward])
    }
    peer.unanswered.clear()
    for (const [key, forwards] of byKey) {
      const way = this.#ways.get(key)
      this.counts.repeated += forwards.length
      if (way?.waiting === undefined) this.#look(key, forwards)
      else way.waiting.unshift(...forwards)
    }
  }

  #takeAnswers(from: NodeId, payload: Wire): void {
    const peer = this.#peers.get(from.epoch)
    if (peer === undefined) return
    readAnswers(payload, (number, id) => {
      if (id !== undefined) this.#ledger.heardOf(id)
      this.#answered(peer, number, id)
    })
  }

  #takeRefusal(from: NodeId, payload: Wire): void {
    const peer = this.#peers.get(from.epoch)
    const space = payload.indexOf(' ')
    const refusal = readStanzaError(parseElement(wire(payload.slice(space + 1))))
    if (peer !== undefined) this.#answered(peer, Number(payload.slice(0, space)), undefined, refusal)
  }

  #answered({ unanswered }: Peer, number: number, id: LogId | undefined, refusal?: StanzaError): void {
    const forward = unanswered.get(number)
    if (forward === undefined) return
    unanswered.delete(number)
    const { key, way } = forward
    if (way !== undefined) {
      way.open--
      this.#leaveWay(key, way)
    }
    try {
      forward.awaited?.done(id, refusal)
    } catch (error) {
      // The answers behind this one are those of others.
      this.#onFailure(forward.stanza, error)
    }
  }

  #leaveWay(key: string, way: Way): void {
    if (isIdle(way) && this.#ways.size > MAX_IDLE && this.#ways.get(key) === way) this.#ways.delete(key)
  }

  #takeMessage(from: NodeId, payload: Wire): void {
    const { number, isKeptBySender, isBehind, lastId, message } = readHead(payload)
    if (lastId !== undefined) this.#ledger.heardOf(lastId)
    this.#take(parseStanza(message), new Asked(isKeptBySender, number, from, this.#answer), isBehind)
  }

  readonly #answer = (to: NodeId, number: number, id: LogId | undefined, refusal: StanzaError | undefined): void => {
    if (refusal !== undefined) {
      this.#tell(to, REFUSAL, wire(`${number} ${serialize(refusal.toElement(), '')}`))
      return
    }
    const peer = this.#peer(to)
    peer.answers.add(number, id)
    if (peer.isDue) return
    peer.isDue = true
    queueMicrotask(() => {
      peer.isDue = false
      this.#tell(to, ANSWERS, peer.answers.take())
    })
  }

  /** Over a link that broke nobody waits for an answer any more; over one that is full, somebody does. */
  #tell(to: NodeId, kind: typeof REFUSAL | typeof ANSWERS, payload: Wire): void {
    if (this.#bus.send(to, kind, payload) || !this.#bus.isLinked(to)) return
    this.#clock.after(RETRY_MS, () => this.#tell(to, kind, payload))
  }

  #take(stanza: Stanza, awaited: Awaited | undefined, isBehind: LogId | undefined): void {
    this.counts.received++
    const { to } = stanza
    if (to === undefined) return
    const forward = { key: homeKey(to), stanza, awaited, isBehind, way: undefined, stay: undefined }
    // It may have moved while this was on its way.
    if (this.isHere(forward.key)) this.#handle(forward)
    else this.#send(forward)
  }

  #handle(forward: Forward): void {
    const { from } = forward.stanza
    if (from === undefined) return
    forward.stay = this.#residence.enter(forward.key)
    const { jid } = from
    let sender = this.#senders.get(jid)
    if (sender === undefined) {
      sender = new RemoteSender({
        arrive: this.#arrive,
        idle: () => {
          this.#openSenders--
          if (this.#senders.size > MAX_IDLE) this.#senders.delete(jid)
        },
        onFailure: this.#onFailure,
      })
      this.#senders.set(jid, sender)
    }
    if (sender.isIdle) this.#openSenders++
    sender.take(forward)
  }
}

const isIdle = ({ open, waiting }: Way): boolean => open === 0 && waiting === undefined

/** A message whose sender waits at another node. */
class Asked implements Awaited {
  readonly isKeptBySender: boolean
  readonly #number: number
  readonly #node: NodeId
  readonly #answer: (to: NodeId, number: number, id: LogId | undefined, refusal: StanzaError | undefined) => void

  constructor(
    isKeptBySender: boolean,
    number: number,
    node: NodeId,
    answer: (to: NodeId, number: number, id: LogId | undefined, refusal: StanzaError | undefined) => void,
  ) {
    this.isKeptBySender = isKeptBySender
    this.#number = number
    this.#node = node
    this.#answer = answer
  }

  done(id: LogId | undefined, refusal?: StanzaError): void {
    this.#answer(this.#node, this.#number, id, refusal)
  }
}

/** What one sender elsewhere sends to addresses that are at home here. */
class RemoteSender extends Inflow {
  readonly #arrive: Arrive
  readonly #idle: () => void
  readonly #onFailure: (stanza: Stanza, error: unknown) => void
  readonly #waiting: Forward[] = []
  readonly #stored = new Map<number, Forward>()
  #current: Forward | undefined
  #open = 0

  constructor(parts: {
    readonly arrive: Arrive
    readonly idle: () => void
    readonly onFailure: (stanza: Stanza, error: unknown) => void
  }) {
    super()
    this.#arrive = parts.arrive
    this.#idle = parts.idle
    this.#onFailure = parts.onFailure
  }

  get isIdle(): boolean {
    return this.#open === 0
  }

  take(forward: Forward): void {
    this.#open++
    this.#waiting.push(forward)
    this.receive(forward.stanza)
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

  #done(guest: Forward, handled: Handled): Handled {
    if (handled !== 'stored') this.#conclude(guest, undefined)
    return handled
  }

  protected failed(stanza: Stanza, error: unknown): void {
    const guest = this.#current
    if (guest === undefined) return this.#onFailure(stanza, error)
    if (guest.awaited === undefined || !(error instanceof StanzaError)) this.#onFailure(stanza, error)
    this.#conclude(guest, undefined, error instanceof StanzaError ? error : new StanzaError('internal-server-error'))
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
    if (guest !== undefined) this.#conclude(guest, id, refusal)
  }

  #conclude(guest: Forward, id: LogId | undefined, refusal?: StanzaError): void {
    const { awaited, stay } = guest
    if (stay === undefined) return
    guest.stay = undefined
    awaited?.done(id, refusal)
    stay.end()
    if (--this.#open === 0) this.#idle()
  }

  /** Its own session is read more slowly, where it is. */
  protected pause(): void {}
  protected resume(): void {}
}
