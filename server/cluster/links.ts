import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { type Bus, BusError, type MessageHandler, type NodeId, type PeerHandler, type RequestHandler } from '#server/core/bus.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { Carrier } from './carrier.ts'
import {
  type Batch,
  decodeBatch,
  encodeFailure,
  encodeFarewell,
  encodeFramesHead,
  encodeGreeting,
  encodeMessage,
  encodeReply,
  encodeRequest,
  type Frame,
  type Frames,
  type Greeting,
  isKind,
  MalformedBatchError,
} from './frames.ts'
import { Loopback } from './loopback.ts'

/** What the links to other nodes may use. */
export interface LinkLimits {
  /** What may wait for one peer, in bytes; a larger payload alone is still taken when nothing waits. */
  readonly queueBytes: number
  /** How many requests may wait for the answer of one peer, and how many of one peer may be at work here. */
  readonly requests: number
  readonly requestTimeoutMs: number
}

export const LINK_LIMITS: LinkLimits = { queueBytes: 16 * 1024 * 1024, requests: 10_000, requestTimeoutMs: 5_000 }

export interface LinkOptions {
  readonly self: NodeId
  readonly clock: Clock
  readonly log: Logger
  readonly limits?: Partial<LinkLimits>
  /** Whether this process is still the node that it says it is; asked before anything is sent or taken. */
  readonly isValid?: () => boolean
}

interface Link {
  readonly node: NodeId
  /** Ours; each beginning of the link has another. */
  generation: number
  /** Of the next batch that we send in it. */
  number: number
  /** The peer's generation that we know; 0 when none. */
  seen: number
  /** The number of the peer's next batch. */
  expected: number
  isUp: boolean
  text: string
  isDue: boolean
  /** Requests of the peer that are at work here. */
  atWork: number
  waiting: number
  /** After it sent what nobody can read, a peer is not listened to for a while. */
  deafUntilMs: number
}

interface Request {
  readonly link: Link
  readonly kind: string
  readonly resolve: (payload: Wire) => void
  readonly reject: (error: BusError) => void
  readonly timer: Timer
}

/** How often a peer that does not answer is greeted again. */
const GREETING_MS = 1_000
/** How long a peer is not listened to after it sent what nobody can read. */
const DEAF_MS = 1_000
/** More nodes than a fleet can have numbers for, twice: old ones may linger. */
const MAX_LINKS = 512

/**
 * The bus over a carrier that may lose what it carries. Each link begins with greetings, in which both sides learn of the other's generation; then each counts its batches.
 * A batch that is missing, or bytes that are no batch, break the link on both sides: the one that notices begins a new generation, which the other learns from its greeting.
 */
export class Links implements Bus {
  readonly self: NodeId
  /** What went wrong so far, for metrics. */
  readonly counts = { refused: 0, lost: 0, malformed: 0 }
  readonly #carrier: Carrier
  readonly #clock: Clock
  readonly #log: Logger
  readonly #limits: LinkLimits
  readonly #isValid: () => boolean
  readonly #loopback: Loopback
  readonly #links = new Map<number, Link>()
  readonly #onMessage = new Map<string, MessageHandler>()
  readonly #onRequest = new Map<string, RequestHandler>()
  readonly #onFound: PeerHandler[] = []
  readonly #onLost: PeerHandler[] = []
  readonly #requests = new Map<number, Request>()
  readonly #greeting: Timer
  #due: Link[] = []
  #lastGeneration = 0
  #lastCorrelation = 0
  #isClosed = false

  private constructor(carrier: Carrier, options: LinkOptions) {
    this.self = options.self
    this.#carrier = carrier
    this.#clock = options.clock
    this.#log = options.log
    this.#limits = { ...LINK_LIMITS, ...options.limits }
    this.#isValid = options.isValid ?? (() => true)
    this.#loopback = new Loopback(options.self, options.log, this.#onMessage, this.#onRequest)
    this.#greeting = options.clock.every(GREETING_MS, () => this.#greetAll())
  }

  static async open(carrier: Carrier, options: LinkOptions): Promise<Links> {
    const links = new Links(carrier, options)
    try {
      await carrier.start({
        batch: (bytes, expected) => links.#take(bytes, expected),
        candidate: (node) => links.#meet(node),
        interrupted: (epoch) => links.#restart(links.#links.get(epoch)),
        interruptedAll: () => links.#restartAll(),
        ended: (node) => links.#end(links.#links.get(node.epoch)),
      })
    } catch (error) {
      links.#greeting.cancel()
      throw error
    }
    return links
  }

  peers(): readonly NodeId[] {
    return [...this.#links.values()].filter(({ isUp }) => isUp).map(({ node }) => node)
  }

  isLinked(node: NodeId): boolean {
    return this.#links.get(node.epoch)?.isUp === true
  }

  /** Bytes that wait here and below for this peer. */
  queuedBytes(node: NodeId): number {
    const link = this.#links.get(node.epoch)
    return link === undefined ? 0 : link.text.length + this.#carrier.queuedBytes(link.node)
  }

  send(to: NodeId, kind: string, payload: Wire): boolean {
    checkKind(kind)
    if (to.epoch === this.self.epoch) return !this.#isClosed && this.#loopback.send(kind, payload)
    const link = this.#sendable(to, payload.length)
    if (link === undefined) return false
    this.#queue(link, encodeMessage(kind, payload))
    return true
  }

  request(to: NodeId, kind: string, payload: Wire, timeoutMs = this.#limits.requestTimeoutMs): Promise<Wire> {
    checkKind(kind)
    if (to.epoch === this.self.epoch) return this.#loopback.request(kind, payload)
    const link = this.#sendable(to, payload.length)
    if (link === undefined || link.waiting >= this.#limits.requests) return Promise.reject(new BusError('refused', to, kind))
    return new Promise((resolve, reject) => {
      const correlation = this.#nextCorrelation()
      const timer = this.#clock.after(timeoutMs, () => this.#fail(correlation, 'timeout'))
      link.waiting += 1
      this.#requests.set(correlation, { link, kind, resolve, reject, timer })
      this.#queue(link, encodeRequest(correlation, kind, payload))
    })
  }

  onMessage(kind: string, handler: MessageHandler): void {
    register(this.#onMessage, kind, handler)
  }

  onRequest(kind: string, handler: RequestHandler): void {
    register(this.#onRequest, kind, handler)
  }

  onPeerFound(handler: PeerHandler): void {
    this.#onFound.push(handler)
  }

  onPeerLost(handler: PeerHandler): void {
    this.#onLost.push(handler)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#flushDue()
    this.#isClosed = true
    this.#greeting.cancel()
    for (const link of this.#links.values()) {
      this.#carrier.carry(link.node, encodeFarewell({ epoch: this.self.epoch, generation: link.generation, number: link.number }))
      this.#break(link)
    }
    this.#links.clear()
    await this.#carrier.close()
  }

  #sendable(to: NodeId, bytes: number): Link | undefined {
    const link = this.#links.get(to.epoch)
    if (link?.isUp === true && !this.#isClosed && this.#isValid()) {
      const queued = link.text.length + this.#carrier.queuedBytes(link.node)
      if (queued === 0 || queued + bytes <= this.#limits.queueBytes) return link
    }
    this.counts.refused += 1
    return undefined
  }

  #queue(link: Link, frame: string): void {
    link.text += frame
    if (link.isDue) return
    link.isDue = true
    if (this.#due.length === 0) setImmediate(() => this.#flushDue())
    this.#due.push(link)
  }

  #flushDue(): void {
    const links = this.#due
    this.#due = []
    const isValid = this.#isValid()
    for (const link of links) {
      link.isDue = false
      const { text } = link
      link.text = ''
      if (text === '' || !isValid) continue
      const head = encodeFramesHead({ epoch: this.self.epoch, generation: link.generation, number: link.number })
      link.number = (link.number + 1) >>> 0
      if (!this.#carrier.carry(link.node, head + text)) this.#restart(link)
    }
  }

  #meet(node: NodeId): Link | undefined {
    const known = this.#links.get(node.epoch)
    if (known !== undefined || node.epoch === this.self.epoch || this.#isClosed) return known
    if (this.#links.size >= MAX_LINKS) return undefined
    const link: Link = {
      node,
      ...{ generation: this.#nextGeneration(), number: 0, seen: 0, expected: 0, isUp: false },
      ...{ text: '', isDue: false, atWork: 0, waiting: 0, deafUntilMs: 0 },
    }
    this.#links.set(node.epoch, link)
    this.#greet(link)
    return link
  }

  #nextGeneration(): number {
    this.#lastGeneration += 1
    return this.#lastGeneration
  }

  #nextCorrelation(): number {
    this.#lastCorrelation = (this.#lastCorrelation + 1) >>> 0
    return this.#lastCorrelation
  }

  #greet(link: Link): void {
    const { generation, seen } = link
    const number = link.isUp ? 1 : 0
    this.#carrier.carry(link.node, encodeGreeting({ epoch: this.self.epoch, generation, number, seen, name: this.self.name }))
  }

  #greetAll(): void {
    if (!this.#isValid()) return
    const nowMs = this.#clock.monotonicMs()
    for (const link of this.#links.values()) if (!link.isUp && nowMs >= link.deafUntilMs) this.#greet(link)
  }

  /** Returns whom it came from, and nothing when the channel that it came by is to be closed. */
  #take(bytes: Buffer, expected: number | undefined): Pick<Batch, 'epoch' | 'type'> | undefined {
    if (this.#isClosed || !this.#isValid()) return { epoch: expected ?? 0, type: 'frames' }
    try {
      const batch = decodeBatch(bytes)
      if (expected !== undefined && batch.epoch !== expected) throw new MalformedBatchError('a batch of another node')
      if (batch.type === 'greeting') this.#greeted(batch)
      else if (batch.type === 'frames') this.#handle(batch)
      else this.#end(this.#links.get(batch.epoch))
      return batch
    } catch (error) {
      if (!(error instanceof MalformedBatchError)) throw error
      this.#malformed(bytes, expected, error)
      return undefined
    }
  }

  #malformed(bytes: Buffer, expected: number | undefined, error: MalformedBatchError): void {
    this.counts.malformed += 1
    const epoch = expected ?? (bytes.length >= 9 ? bytes.readUInt32BE(1) * 2 ** 32 + bytes.readUInt32BE(5) : 0)
    const link = this.#links.get(epoch)
    this.#log.error('bus-bytes-malformed', { node: link?.node.name, why: error.message })
    if (link === undefined) return
    link.deafUntilMs = this.#clock.monotonicMs() + DEAF_MS
    this.#break(link)
    this.#carrier.drop(link.node)
  }

  #greeted({ epoch, name, generation, number, seen }: Greeting): void {
    if (name === this.self.name) return
    const link = this.#meet({ name, epoch })
    if (link === undefined || this.#clock.monotonicMs() < link.deafUntilMs) return
    if (link.seen !== generation) {
      if (link.isUp) this.#break(link)
      link.seen = generation
      link.expected = 0
    }
    if (seen !== link.generation) return this.#greet(link)
    const wasUp = link.isUp
    link.isUp = true
    if (number === 0) this.#greet(link)
    if (wasUp) return
    this.#log.info('node-found', { node: name, epoch })
    this.#tell(this.#onFound, link.node)
  }

  #handle({ epoch, generation, number, frames }: Frames): void {
    const link = this.#links.get(epoch)
    // Of a generation that has ended: the peer has been told, or will be.
    if (link === undefined || !link.isUp || generation !== link.seen) return
    if (number !== link.expected) return this.#restart(link)
    link.expected = (link.expected + 1) >>> 0
    const ours = link.generation
    for (const frame of frames) {
      this.#dispatch(link, frame)
      if (link.generation !== ours) return
    }
  }

  #dispatch(link: Link, frame: Frame): void {
    switch (frame.type) {
      case 'message':
        try {
          this.#onMessage.get(frame.kind)?.(link.node, frame.payload)
        } catch (error) {
          this.#log.error('bus-handler-failed', { kind: frame.kind, error })
        }
        return
      case 'request':
        void this.#answer(link, frame)
        return
      case 'reply': {
        const request = this.#settle(link, frame.correlation)
        request?.resolve(frame.payload)
        return
      }
      case 'failure': {
        const request = this.#settle(link, frame.correlation)
        request?.reject(new BusError('failed', link.node, request.kind))
      }
    }
  }

  async #answer(link: Link, { kind, correlation, payload }: Frame): Promise<void> {
    const { generation } = link
    let reply: string
    link.atWork += 1
    try {
      const handler = link.atWork > this.#limits.requests ? undefined : this.#onRequest.get(kind)
      reply = handler === undefined ? encodeFailure(correlation) : encodeReply(correlation, await handler(link.node, payload))
    } catch (error) {
      this.#log.error('bus-handler-failed', { kind, error })
      reply = encodeFailure(correlation)
    }
    link.atWork -= 1
    if (link.isUp && link.generation === generation) this.#queue(link, reply)
  }

  #settle(link: Link, correlation: number): Request | undefined {
    const request = this.#requests.get(correlation)
    // Late, or of another peer's making.
    if (request === undefined || request.link !== link) return undefined
    this.#requests.delete(correlation)
    request.link.waiting -= 1
    request.timer.cancel()
    return request
  }

  #fail(correlation: number, reason: 'timeout' | 'lost'): void {
    const request = this.#requests.get(correlation)
    if (request === undefined) return
    this.#settle(request.link, correlation)
    request.reject(new BusError(reason, request.link.node, request.kind))
  }

  /** Begins a link anew, on this side; the other learns it from the greeting. One that was not up waits for its next greeting: who does not answer is not asked all the time. */
  #restart(link: Link | undefined): void {
    if (link === undefined || this.#isClosed) return
    const { isUp } = link
    this.#break(link)
    if (isUp) this.#greet(link)
  }

  #restartAll(): void {
    for (const link of [...this.#links.values()]) this.#restart(link)
  }

  #end(link: Link | undefined): void {
    if (link === undefined || this.#links.get(link.node.epoch) !== link) return
    this.#links.delete(link.node.epoch)
    this.#break(link)
    this.#carrier.drop(link.node)
  }

  #break(link: Link): void {
    const wasUp = link.isUp
    link.isUp = false
    link.generation = this.#nextGeneration()
    link.number = 0
    link.seen = 0
    link.text = ''
    if (!wasUp) return
    this.counts.lost += 1
    for (const [correlation, request] of this.#requests) if (request.link === link) this.#fail(correlation, 'lost')
    this.#log.info('node-lost', { node: link.node.name, epoch: link.node.epoch })
    this.#tell(this.#onLost, link.node)
  }

  #tell(handlers: readonly PeerHandler[], node: NodeId): void {
    for (const handler of handlers) {
      try {
        handler(node)
      } catch (error) {
        this.#log.error('bus-handler-failed', { error })
      }
    }
  }
}

const checkKind = (kind: string): void => {
  if (!known.has(kind) && !isKind(kind)) throw new TypeError(`${JSON.stringify(kind)} is no kind`)
  known.add(kind)
}

const register = <T>(handlers: Map<string, T>, kind: string, handler: T): void => {
  checkKind(kind)
  if (handlers.has(kind)) throw new TypeError(`${kind} has a handler already`)
  handlers.set(kind, handler)
}

/** Kinds are few, and chosen by this program. */
const known = new Set<string>()
