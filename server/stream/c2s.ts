import type { Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { newId } from '#server/base/random.ts'
import { TokenBucket } from '#server/base/rate-limit.ts'
import type { Visitor } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import type { Element } from '#stanzas/element.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { NS_CLIENT, NS_FRAMING, NS_STREAMS } from '#stanzas/namespaces.ts'
import { serialize } from '#stanzas/serialize.ts'
import { iq, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { escapeAttribute, type Wire, wire } from '#stanzas/wire.ts'
import { XmlStream, type XmlStreamHandler } from '#stanzas/xml-stream.ts'
import type { C2sHost } from './c2s-host.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import type { Phase } from './feature.ts'
import { textOfOffers } from './feature-texts.ts'
import { CLOSE_FRAME, framed } from './framing.ts'
import type { StanzaSink } from './outlet.ts'
import type { Relay } from './relay.ts'
import { asStreamError, StreamError, type StreamErrorCondition } from './stream-error.ts'

/** Why a client is not read for a while: an earlier input is being answered, its session is full, it sends too fast. */
const BY_WAIT = 1
const BY_SESSION = 2
const BY_RATE = 4

/** Where rates are not limited, the count of stanzas starts again from here. */
const UNLIMITED = 0x3fff_ffff
/** So much of what a client sends costs about what a short stanza does, and counts as one more. */
const BYTES_A_STANZA = 4_096
/** The clock is read once for so many parts of a burst. */
const GRANTS_A_BURST = 10

/** An input that waits, and how it can be written again. */
interface Held {
  readonly run: () => void
  readonly text: () => Wire
}

const key = (ns: string, name: string): string => `${name} ${ns}`

/** One client's stream: header, negotiation, errors and close (RFC 6120 §4), over TCP or in WebSocket frames (RFC 7395). */
export class C2sStream implements ConnectionHandler, XmlStreamHandler, StanzaSink, Visitor {
  readonly connection: Connection
  readonly #host: C2sHost
  #xml: XmlStream
  readonly #isFramed: boolean
  #phase: Phase = 'before-login'
  #account: BareJid | undefined
  #from: BareJid | undefined
  #session: Session | undefined
  #loginTimer: Timer | undefined
  #isWaiting = false
  /** What came while an earlier input was being answered. */
  #held: Held[] | undefined
  /** What the client sends goes on to another node. */
  #relay: Relay | undefined
  #isOpen = false
  #isLeaving = false
  #hasClosed = false
  #pauses = 0
  /** Stanzas that may come before the bucket is asked again. */
  #credit = 0
  /** Bytes that have not been counted yet. */
  #bytes = 0
  #bucket: TokenBucket | undefined
  #rateTimer: Timer | undefined
  /** Notes of features and modules while the login goes on. */
  #notes: Map<string, unknown> | undefined
  /** While set, only elements of this namespace may come: SASL has the stream to itself (XEP-0388 §2.4). */
  expects: string | undefined
  /** The device that the client is on, if it has said so. */
  device: string | undefined
  /** What waits until something before it has been written. */
  #behind: (() => void)[] | undefined
  /** How much of that is to be written. */
  #behindBytes = 0
  /** When the client was last heard, in rounds of the sweep (see session-life.ts). */
  silentRounds = 0

  constructor(connection: Connection, host: C2sHost) {
    this.connection = connection
    this.#host = host
    this.#isFramed = connection.framing === 'frames'
    this.#xml = new XmlStream(this, host.limits.beforeLogin, connection.framing)
    this.#loginTimer = host.clock.after(host.limits.loginTimeoutMs, () =>
      this.fail('connection-timeout', 'the login took too long'),
    )
  }

  get phase(): Phase {
    return this.#phase
  }
  get account(): BareJid | undefined {
    return this.#account
  }
  /** Whom the client said to be when it opened the stream; nothing has proved it. */
  get from(): BareJid | undefined {
    return this.#from
  }
  get session(): Session | undefined {
    return this.#session
  }
  /** Whether the stream has ended; its connection may live on for a moment. */
  get isClosed(): boolean {
    return this.#hasClosed
  }
  get remoteAddress(): string {
    return this.connection.remoteAddress
  }
  get isPrivate(): boolean {
    return this.connection.isPrivate
  }
  get notes(): Map<string, unknown> {
    this.#notes ??= new Map()
    return this.#notes
  }
  get log(): Logger {
    return this.#host.log
  }

  // ---- what comes in

  onData(chunk: Buffer): void {
    if (this.#relay !== undefined) return this.#relay.onData(chunk)
    this.silentRounds = 0
    this.#bytes += chunk.length
    if (this.#bytes >= BYTES_A_STANZA) {
      this.#credit -= Math.floor(this.#bytes / BYTES_A_STANZA)
      this.#bytes %= BYTES_A_STANZA
    }
    try {
      this.#xml.write(chunk)
    } catch (error) {
      this.#failWith(error)
    }
  }

  /** The connection is gone; without a reason, the peer has sent its end tag (RFC 6120 §4.4). */
  onClose(reason?: string): void {
    if (this.#relay !== undefined) return this.#relayed(this.#relay, reason ?? '')
    if (reason === undefined)
      return this.#isWaiting
        ? this.#hold({ run: () => this.#leave(), text: () => (this.#isFramed ? CLOSE_FRAME : this.#xml.endTag) })
        : this.#leave()
    this.#shut(this.#isLeaving)
    this.#host.log.debug('stream-closed', { address: this.remoteAddress, reason })
  }

  /** What the client said before its end tag is still handled, and its answers sent. */
  #leave(): void {
    this.#isLeaving = true
    this.#xml.stop()
    if (this.#session === undefined) this.#finish(true)
    else this.#session.whenHandled(() => this.#finish(true))
  }

  onOpen(header: Element, contentNs: string): void {
    // RFC 6120 §4.8.1, §4.8.2
    if (header.ns !== NS_STREAMS || header.name !== 'stream') throw new StreamError('invalid-namespace')
    if (contentNs !== NS_CLIENT) throw new StreamError('invalid-namespace')
    this.#opened(header)
  }

  #opened(header: Element): void {
    const { domain } = this.#host
    const from = header.attrs.from
    const client = from === undefined ? undefined : parseJid(from)
    this.#isOpen = true
    this.#writeHeader(client)
    // RFC 6120 §4.7.5: a version below 1.0, or none, means a client without features.
    if (!/^0*[1-9]\d*\.\d+$/.test(header.attrs.version ?? '')) throw new StreamError('unsupported-version')
    const to = header.attrs.to
    // RFC 6120 §4.9.3.7
    if (to === undefined || to === '') throw new StreamError('improper-addressing', { text: 'the stream header says no domain' })
    // RFC 6120 §4.9.3.6
    if (to !== domain.jid && parseJid(to)?.jid !== domain.jid) throw new StreamError('host-unknown')
    // RFC 6120 §4.9.3.9
    if (from !== undefined && (client === undefined || (this.#account !== undefined && client.bare !== this.#account)))
      throw new StreamError('invalid-from')
    // XEP-0388 §2.1
    if (client !== undefined && client.domainpart !== domain.domainpart) throw new StreamError('invalid-from')
    this.#from = client?.localpart === '' ? undefined : client?.bare
    this.writeFeatures()
  }

  onStanza(stanza: Stanza): void {
    if (--this.#credit < 0) this.#charge()
    if (this.#isWaiting) return this.#hold({ run: () => this.#take(stanza), text: () => stanza.selfContained })
    this.#take(stanza)
  }

  #take(stanza: Stanza): void {
    // RFC 7395 §3.3.2: a stream begins with <open/>, also after a login.
    if (!this.#isOpen) throw new StreamError('invalid-namespace')
    const session = this.#session
    if (session === undefined) return this.#beforeBinding(stanza)
    // RFC 6120 §8.1.2.1: a client may only speak for itself.
    const { from } = stanza
    const stamped = stanza.restamp({ from: session.address })
    const isForeign =
      from === undefined
        ? stanza.hasMalformedAddress && !stamped.hasMalformedAddress
        : from.jid !== session.jid && from.jid !== session.account
    if (isForeign) throw new StreamError('invalid-from')
    session.receive(stamped)
  }

  /** Takes the next few stanzas from the client's bucket, and lets TCP slow it down while that is empty. */
  #charge(): void {
    const { rate, clock } = this.#host
    if (rate === undefined) {
      this.#credit = UNLIMITED
      return
    }
    const grant = Math.max(Math.ceil(rate.burst / GRANTS_A_BURST), -this.#credit)
    this.#credit += grant
    const nowMs = clock.monotonicMs()
    this.#bucket ??= new TokenBucket(rate, nowMs)
    const waitMs = this.#bucket.borrow(nowMs, grant)
    if (waitMs === 0) return
    this.#host.onSlowed('rate')
    this.#pauseFor(BY_RATE)
    this.#rateTimer?.cancel()
    this.#rateTimer = clock.after(waitMs, () => this.#resumeFrom(BY_RATE))
  }

  #beforeBinding(stanza: Stanza): void {
    if (this.expects !== undefined) throw new StreamError('policy-violation', { text: 'a login is under way' })
    if (this.#phase === 'before-login') return this.#visitorIq(stanza)
    this.wait(this.#bind(stanza))
  }

  async #bind(stanza: Stanza): Promise<void> {
    // RFC 6120 §7.1: no stanza but the binding before the binding.
    if (!(await this.#host.bind(this, stanza))) throw new StreamError('not-authorized')
  }

  #visitorIq(stanza: Stanza): void {
    const first = stanza.payloads[0]
    const handle = first === undefined ? undefined : this.#host.visitorIq.get(key(first.ns, first.name))
    const payload = first === undefined ? undefined : stanza.get(first.ns, first.name)
    const type = stanza.type
    if (handle === undefined || payload === undefined || stanza.kind !== 'iq' || (type !== 'get' && type !== 'set'))
      throw new StreamError('not-authorized')
    this.wait(this.#answerVisitor(stanza, async () => handle(this, { type, payload, stanza })))
  }

  async #answerVisitor(stanza: Stanza, answer: () => Promise<Element | undefined>): Promise<void> {
    const attributes = { from: this.#host.domain, id: stanza.id }
    try {
      this.writeStanza(iq({ ...attributes, type: 'result' }, await answer()).wire)
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error
      this.writeStanza(iq({ ...attributes, type: 'error' }, error.toElement()).wire)
    }
  }

  onElement(element: Element): void {
    if (--this.#credit < 0) this.#charge()
    if (this.#isWaiting) return this.#hold({ run: () => this.#answer(element), text: () => this.#textOf(element) })
    this.#answer(element)
  }

  #answer(element: Element): void {
    if (this.#isFramed && element.ns === NS_FRAMING) return this.#frame(element)
    // RFC 7395 §3.3.2, §3.3.3: a stream begins with <open/>, and every frame says its namespace.
    if (!this.#isOpen || element.ns === '') throw new StreamError('invalid-namespace')
    // RFC 6120 §4.9.1.1: the client has given the stream up.
    if (element.ns === NS_STREAMS && element.name === 'error') return this.#finish(false)
    if (this.expects !== undefined && element.ns !== this.expects)
      throw new StreamError('policy-violation', { text: 'a login is under way' })
    for (const feature of this.#host.features)
      for (const [ns, name] of feature.elements)
        if (name === element.name && ns === element.ns) {
          const answered = feature.handle(this, element)
          if (answered instanceof Promise) this.wait(answered)
          return
        }
    const nonza = this.#host.nonzas.get(key(element.ns, element.name))
    if (nonza !== undefined && this.#session !== undefined) return nonza(this.#session, element)
    // RFC 6120 §4.9.3.12 before login, §4.9.3.24 after.
    throw new StreamError(this.#phase === 'before-login' ? 'not-authorized' : 'unsupported-stanza-type')
  }

  /** RFC 7395 §3.4, §3.6. */
  #frame(element: Element): void {
    if (element.name === 'open' && !this.#isOpen) this.#opened(element)
    else if (element.name === 'close') this.#leave()
    else throw new StreamError('unsupported-stanza-type')
  }

  /** Holds back further input until the promise settles. */
  wait(work: Promise<void>): void {
    this.#isWaiting = true
    work.then(
      () => this.#release(),
      (error: unknown) => this.#failWith(error),
    )
  }

  #hold(input: Held): void {
    this.#held ??= []
    this.#held.push(input)
    this.#pauseFor(BY_WAIT)
  }

  #release(): void {
    this.#isWaiting = false
    try {
      while (!this.#isWaiting && this.#held !== undefined) {
        const input = this.#held.shift()
        if (input === undefined) this.#dropHeld()
        else input.run()
      }
    } catch (error) {
      this.#failWith(error)
    }
  }

  #dropHeld(): void {
    this.#held = undefined
    this.#resumeFrom(BY_WAIT)
  }

  #pauseFor(reason: number): void {
    if (this.#pauses === 0) this.connection.pause()
    this.#pauses |= reason
  }

  #resumeFrom(reason: number): void {
    if ((this.#pauses & reason) === 0) return
    this.#pauses &= ~reason
    if (this.#pauses === 0) this.connection.resume()
  }

  // ---- a client whose account is at home at another node

  /** What the client has said on its stream, for a node that goes on with it: the header, and this element. */
  retells(element: Element): readonly Wire[] {
    const from = this.#from === undefined ? '' : ` from='${escapeAttribute(this.#from)}'`
    const attributes = ` to='${escapeAttribute(this.#host.domain.jid)}'${from} version='1.0'`
    const header = this.#isFramed ? wire(`<open xmlns='${NS_FRAMING}'${attributes}/>`) : this.#xml.header(attributes)
    return [header, this.#textOf(element)]
  }

  /** From now on everything goes to that node and comes from there; first what has come meanwhile. */
  goesOnAt(relay: Relay): void {
    this.#relay = relay
    this.#loginTimer?.cancel()
    this.#loginTimer = undefined
    this.#rateTimer?.cancel()
    this.#notes = undefined
    for (const { text } of this.#held ?? []) relay.onData(Buffer.from(text(), 'latin1'))
    if (this.#xml.unread.length > 0) relay.onData(this.#xml.unread)
    this.#xml.stop()
    this.#dropHeld()
    this.#resumeFrom(BY_RATE)
  }

  #relayed(relay: Relay, reason: string): void {
    if (this.#hasClosed) return
    this.#hasClosed = true
    relay.onClose(reason)
    this.#host.onGone(this)
  }

  #textOf(element: Element): Wire {
    return this.#isFramed ? serialize(element, '') : serialize(element, NS_CLIENT)
  }

  // ---- the steps of negotiation, called by features

  /** STARTTLS was answered: what follows is TLS, then a new stream (RFC 6120 §5.4.3.3). */
  async secure(): Promise<void> {
    // What was sent behind <starttls/> in the clear must not be read (RFC 6120 §5.4.3.3).
    this.#xml.stop()
    this.#xml = new XmlStream(this, this.#host.limits.beforeLogin, 'stream')
    this.#isOpen = false
    this.#dropHeld()
    try {
      await this.connection.startTls()
    } catch {
      // RFC 6120 §5.4.3.2: there is no stream to say goodbye on; the transport has logged why.
      this.connection.destroy()
    }
  }

  /** The client proved to be this account, or what it still had to do for that has failed. */
  proved(account: BareJid | undefined): void {
    this.#account = account
  }

  /** The login is complete, and the stream goes on (XEP-0388 §2.6.1). */
  admits(): void {
    this.#phase = 'after-login'
    this.#xml.limits = this.#host.limits.afterLogin
  }

  /** The client proved to be this account; a new stream follows (RFC 6120 §6.4.6). */
  authenticated(account: BareJid): void {
    this.proved(account)
    this.admits()
    this.#xml.restart()
    this.#isOpen = false
  }

  /** A resource was bound, or a session resumed, on this stream. */
  bound(session: Session): void {
    this.#session = session
    session.isFramed = this.#isFramed
    this.#phase = 'bound'
    this.#loginTimer?.cancel()
    this.#loginTimer = undefined
    this.#notes = undefined
    session.device = this.device ?? session.device
  }

  /** Another stream has taken the session over: this one closes without ending it. */
  forsake(condition: StreamErrorCondition, text: string): void {
    this.#session = undefined
    this.close(condition, text)
  }

  /** Its session goes on in another process: the connection is cut without a word, so that the client resumes there. */
  vanish(): void {
    this.#session = undefined
    this.connection.destroy()
  }

  // ---- what goes out

  /** Writes an element that is no stanza. */
  send(element: Element): void {
    this.connection.write(this.#textOf(element))
  }

  write(data: Wire): void {
    if (this.#hasClosed) return
    if (this.#behind === undefined) this.connection.write(data)
    else {
      this.#behindBytes += data.length
      this.#behind.push(() => this.connection.write(data))
    }
  }

  /** Holds back the session's stanzas until `follow`, since something is to be said before them that has to be looked up. */
  precede(): void {
    this.#behind = []
  }

  /** Lets what was held back go, in order. */
  follow(): void {
    const behind = this.#behind
    this.#behind = undefined
    this.#behindBytes = 0
    if (behind !== undefined && !this.#hasClosed) for (const write of behind) write()
  }

  writeStanza(data: Wire): void {
    this.write(this.#isFramed ? framed(data) : data)
  }

  afterFlush(callback: () => void): void {
    if (this.#behind === undefined) this.connection.afterFlush(callback)
    else this.#behind.push(() => this.connection.afterFlush(callback))
  }
  get queuedBytes(): number {
    return this.connection.queuedBytes + this.#behindBytes
  }
  pause(): void {
    this.#host.onSlowed('session')
    this.#pauseFor(BY_SESSION)
  }
  resume(): void {
    this.#resumeFrom(BY_SESSION)
  }

  /** RFC 6120 §4.7.2: a client that said who it is, is told. */
  #writeHeader(client?: Address): void {
    const domain = escapeAttribute(this.#host.domain.jid)
    const to = client === undefined ? '' : ` to='${client.bareWire}'`
    const id = newId()
    this.connection.write(
      wire(
        this.#isFramed
          ? `<open xmlns='${NS_FRAMING}' from='${domain}'${to} id='${id}' version='1.0' xml:lang='en'/>`
          : `<?xml version='1.0'?><stream:stream xmlns='${NS_CLIENT}' xmlns:stream='${NS_STREAMS}' from='${domain}'${to} id='${id}' version='1.0' xml:lang='en'>`,
      ),
    )
  }

  /** Says what can be negotiated now (RFC 6120 §4.3.2). */
  writeFeatures(): void {
    const children: Element[] = []
    for (const feature of this.#host.features) {
      const offer = feature.offer(this)
      if (offer !== undefined) children.push(offer)
    }
    const when = this.#phase === 'before-login' ? 'before-login' : 'after-login'
    for (const each of this.#host.offers) {
      const offer = each.when === when ? each.offer(this) : undefined
      if (offer !== undefined) children.push(offer)
    }
    this.#writeStreamsElement('features', textOfOffers(children))
  }

  #writeStreamsElement(name: 'features' | 'error', content: string): void {
    const declared = this.#isFramed ? ` xmlns:stream='${NS_STREAMS}'` : ''
    this.connection.write(wire(`<stream:${name}${declared}>${content}</stream:${name}>`))
  }

  // ---- the end

  /** Ends the stream with an error of RFC 6120 §4.9.3. */
  fail(condition: StreamErrorCondition, text?: string): void {
    this.#failWith(new StreamError(condition, text === undefined ? {} : { text }))
  }

  #failWith(error: unknown): void {
    if (this.#hasClosed) return
    // Its stream is the other node's to end: the client comes back.
    if (this.#relay !== undefined) return this.#relay.cut()
    const cause = asStreamError(error)
    this.#host.onFailed(cause.condition)
    if (cause.condition === 'internal-server-error') this.#host.log.error('stream-failed', { address: this.remoteAddress, error })
    else
      this.#host.log.debug('stream-refused', { address: this.remoteAddress, condition: cause.condition, reason: cause.message })
    // RFC 6120 §4.9.1.2: an error before the header is answered with a header first.
    if (!this.#isOpen) this.#writeHeader()
    this.#isOpen = true
    const parent = this.#isFramed ? '' : NS_CLIENT
    this.#writeStreamsElement(
      'error',
      cause
        .children()
        .map((child) => serialize(child, parent))
        .join(''),
    )
    this.#finish(false)
  }

  /** Ends the stream of a client that does not read; its session may be resumed. */
  stall(): void {
    this.fail('policy-violation', 'the client does not read')
  }

  close(condition: StreamErrorCondition | undefined, text?: string): void {
    if (condition === undefined) this.#finish(false)
    else this.fail(condition, text)
  }

  #finish(isPeaceful: boolean): void {
    if (this.#hasClosed) return
    this.connection.write(this.#isFramed ? CLOSE_FRAME : wire('</stream:stream>'))
    this.#shut(isPeaceful)
    this.connection.end()
  }

  /** `isPeaceful`: the client closed its stream, so its session is over; otherwise it may be resumed. */
  #shut(isPeaceful: boolean): void {
    if (this.#hasClosed) return
    this.#hasClosed = true
    this.#xml.stop()
    this.#loginTimer?.cancel()
    this.#loginTimer = undefined
    this.#rateTimer?.cancel()
    this.#held = undefined
    this.#notes = undefined
    const session = this.#session
    this.#session = undefined
    if (session !== undefined) this.#host.onLost(this, session, isPeaceful)
    this.#host.onGone(this)
  }
}
