import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Delivery } from '#server/core/delivery.ts'
import type { Hooks } from '#server/core/hooks.ts'
import type { Ledger } from '#server/core/ledger.ts'
import type { Resends } from '#server/core/resends.ts'
import type { Router } from '#server/core/router.ts'
import { Session, type SessionHost } from '#server/core/session.ts'
import type { Sessions } from '#server/core/sessions.ts'
import { type Address, type BareJid, type Jid, parseJid } from '#stanzas/jid.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import type { C2sStream } from './c2s.ts'
import type { Unacked } from './features/ack-queue.ts'
import type { ManagedOutlet } from './features/managed-outlet.ts'
import type { Records, ResumeRecord } from './features/recording.ts'
import { type Revived, StreamManagement } from './features/stream-management.ts'
import { type OutletLimits, PlainOutlet } from './outlet.ts'
import { StreamError, type StreamErrorCondition } from './stream-error.ts'

export interface SessionLifeOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly sessions: Sessions
  readonly hooks: Hooks
  readonly ledger: Ledger
  readonly delivery: Delivery
  readonly resends: Resends
  readonly router: Router
  readonly host: SessionHost
  readonly resumeTimeoutMs: number
  readonly maxSessionsPerAccount: number
  readonly idleTimeoutMs: number
  readonly stalledTimeoutMs: number
  readonly outlet: OutletLimits
  /** Where other processes find what they need to go on with a session; `undefined` when there are none. */
  readonly records: Records | undefined
  /** Whether the account is at home in this process. */
  readonly isHere: (account: BareJid) => boolean
}

/** Stands for an entry that is gone: what the client has of it, it has. */
const NOTHING: Unacked = { data: wire(''), mark: undefined }

/** How often streams are looked over for those that are silent or do not read. */
const SWEEP_MS = 5_000
/** For so long the answer to a client that resumes waits for what it missed, so that both go together. */
const GATHERING_MS = 50

/** How sessions begin, lose their connection, are resumed, and end. */
export class SessionLife {
  readonly streamManagement: StreamManagement
  readonly #options: SessionLifeOptions
  readonly #streams = new Map<Session, C2sStream>()
  readonly #waiting = new Map<Session, { readonly timer: Timer; readonly sinceMs: number }>()
  readonly #laggingSince = new Map<Session, number>()
  /** Resources whose session is gone while something it received is still on its way. */
  readonly #settling = new Map<Jid, Promise<void>>()
  #sweeper: Timer | undefined
  /** Sessions that began, ended, were given up because their client did not read, and were refused because the account had too many. */
  readonly counts = { started: 0, revived: 0, ended: 0, stalled: 0, refused: 0 }

  constructor(options: SessionLifeOptions) {
    this.#options = options
    this.streamManagement = new StreamManagement({
      resumeTimeoutMs: options.resumeTimeoutMs,
      outlet: options.outlet,
      onTaken: (session, mark) => options.ledger.taken(session.account, mark),
      onRoom: (session) => this.#hasRoom(session),
      onOverflow: (session) => this.kick(session, 'policy-violation', 'nothing was acknowledged for too long'),
      onResumed: (...resumed) => this.#resumed(...resumed),
      onRefused: (...refused) => options.resends.refused(...refused),
      records: options.records,
      revive: (record) => this.#revive(record),
    })
  }

  /** Sessions that wait for their client to come back. */
  get detached(): number {
    return this.#waiting.size
  }

  /** Sessions whose client does not read, as of the last look. */
  get lagging(): number {
    return this.#laggingSince.size
  }

  start(): void {
    this.#sweeper = this.#options.clock.every(SWEEP_MS, () => this.#sweep())
  }

  stop(): void {
    this.#sweeper?.cancel()
    for (const { timer } of this.#waiting.values()) timer.cancel()
  }

  /**
   * Binds a resource on a stream; `answer` says so, before anything that this causes. A session that holds the resource already makes room (RFC 6120 §7.7.2.2); what it received comes
   * before anything that is received from now on (§10.1), which waits for the promise.
   */
  open(stream: C2sStream, address: Address, answer: (session: Session) => void | Promise<void>): void | Promise<void> {
    const { sessions, clock, hooks, ledger, delivery, resends, host, log } = this.#options
    // The login took so long that the account was taken elsewhere meanwhile: the client comes back, and is served there.
    if (!this.#options.isHere(address.bare)) throw new StreamError('reset', { text: 'the account has moved' })
    const rival = sessions.get(address)
    if (rival !== undefined) this.kick(rival, 'conflict', 'another stream has bound this resource')
    // RFC 6120 §7.6.2.1
    else if (sessions.of(address.bare).length >= this.#options.maxSessionsPerAccount) {
      this.counts.refused++
      throw new StanzaError('resource-constraint')
    }
    const outlet: PlainOutlet = new PlainOutlet(
      stream,
      this.#options.outlet,
      (mark) => ledger.taken(address.bare, mark),
      () => this.#hasRoom(session),
    )
    const session: Session = new Session(address, outlet, host, clock.nowMs())
    this.#streams.set(session, stream)
    delivery.hold(session)
    sessions.add(session)
    stream.bound(session)
    this.counts.started++
    log.debug('session-started', { jid: session.jid })
    const answered = answer(session)
    // After the answer: it may have ended sessions that this one replaces (XEP-0386 §4).
    resends.begins(session)
    hooks.emit('session-started', { session })
    const settled = this.#settling.get(session.jid)
    return answered === undefined || settled === undefined ? (answered ?? settled) : answered.then(() => settled)
  }

  /** A bound stream is gone. After the end tag the session ends; after a mere loss it may wait to be resumed (XEP-0198 §5). */
  onLost(stream: C2sStream, session: Session, wasClosedInPeace: boolean): void {
    if (this.#streams.get(session) !== stream) return
    this.#streams.delete(session)
    this.#laggingSince.delete(session)
    if (!wasClosedInPeace) this.#options.resends.lost(session, this.#unsureSinceMs(session, stream))
    // What the client sent before it went is still handled.
    if (wasClosedInPeace || !this.streamManagement.detach(session)) return session.whenHandled(() => this.end(session))
    const { log, hooks } = this.#options
    this.#awaitClient(session)
    log.debug('session-detached', { jid: session.jid })
    hooks.emit('session-detached', { session })
  }

  #awaitClient(session: Session): void {
    const { clock, resumeTimeoutMs } = this.#options
    this.#waiting.set(session, {
      timer: clock.after(resumeTimeoutMs, () => this.#endLost(session)),
      sinceMs: clock.nowMs(),
    })
  }

  /** Prepares the session of a record whose process was lost; `undefined` when its resource is in use. */
  async #revive(record: ResumeRecord): Promise<Revived | undefined> {
    const { sessions, ledger, delivery, host, clock, hooks, resends, log } = this.#options
    const address = parseJid(`${record.account}/${record.resource}`)
    if (address === undefined || sessions.get(address) !== undefined || !this.#options.isHere(record.account)) return undefined
    const sentAgain = async (each: LogId | string): Promise<Unacked> => {
      if (typeof each === 'string') return { data: wire(each), mark: undefined }
      const entry = await ledger.get(record.account, each)
      return entry === undefined ? NOTHING : { data: delivery.lateCopy(entry, address).wire, mark: each }
    }
    const sent = await Promise.all(record.sent.map(sentAgain))
    if (sessions.get(address) !== undefined) return undefined
    const begin = (outlet: ManagedOutlet): Session => {
      const session = new Session(address, outlet, host, clock.nowMs())
      session.device = record.device
      for (const mark of record.taken) ledger.taken(record.account, mark)
      outlet.detach()
      delivery.hold(session)
      sessions.add(session)
      this.#awaitClient(session)
      this.counts.revived++
      log.debug('session-revived', { jid: session.jid })
      hooks.emit('session-started', { session })
      resends.begins(session)
      this.#comeBack(session, record.presence)
      return session
    }
    return { sent, begin }
  }

  /** What the client last told everybody is told again: its contacts may have moved, too, and what they told it may be lost. */
  #comeBack(session: Session, presence: string | undefined): void {
    if (presence === undefined) return
    const stanza = parseStanza(wire(presence))
    const failed = (error: unknown): void => this.#options.host.onFailure(session, stanza, error)
    try {
      const handled = this.#options.host.handle(session, stanza)
      if (handled instanceof Promise) handled.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  /**
   * Leaves a session to the process that its client comes back to: its connection is cut, what it has sent is finished, and its record is written.
   * Where there is none it ends, as on any shutdown. Nobody is told that it left.
   */
  async leave(session: Session): Promise<void> {
    const stream = this.#streams.get(session)
    this.#streams.delete(session)
    this.#waiting.get(session)?.timer.cancel()
    this.#waiting.delete(session)
    this.#laggingSince.delete(session)
    const isManaged = this.streamManagement.of(session)?.recording !== undefined
    if (isManaged) stream?.vanish()
    else stream?.forsake('system-shutdown', 'this node of the server stops')
    if (!(await this.streamManagement.leave(session))) return this.end(session)
    session.end(true)
    this.#options.sessions.remove(session)
  }

  /** Gives when the session has what it missed, or when that takes too long to wait for. */
  #resumed(session: Session, resent: number, unflushed: readonly LogId[]): Promise<void> | undefined {
    const { delivery } = this.#options
    const stream = this.streamManagement.of(session)?.stream
    if (stream !== undefined) this.#streams.set(session, stream)
    this.#waiting.get(session)?.timer.cancel()
    this.#waiting.delete(session)
    this.#options.log.debug('session-resumed', { jid: session.jid, resent })
    this.#options.hooks.emit('session-resumed', { session })
    const [first] = unflushed
    if (first === undefined) delivery.proceed(session)
    else delivery.sendBack(session, first - 1)
    // The client was gone again before its session was ready for it.
    if (stream?.isClosed === true) this.onLost(stream, session, false)
    const caughtUp = delivery.caughtUp(session)
    return caughtUp === undefined ? undefined : this.#atMost(GATHERING_MS, caughtUp)
  }

  #atMost(ms: number, done: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, resolve)
      void done.then(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  /** Ends a session that its client has not closed. */
  #endLost(session: Session, dropsWaiting = false): void {
    const unsureSinceMs = this.#unsureSinceMs(session, this.#streams.get(session))
    this.end(session, dropsWaiting)
    this.#options.resends.lost(session, unsureSinceMs)
  }

  /** Ends a session and its stream with a stream error. */
  kick(session: Session, condition: StreamErrorCondition, text: string, dropsWaiting = false): void {
    const stream = this.#streams.get(session)
    this.#endLost(session, dropsWaiting)
    stream?.forsake(condition, text)
  }

  /** Ends every session of an account but one. */
  kickAccount(account: BareJid, condition: StreamErrorCondition, text: string, spared?: Jid): void {
    for (const session of this.#options.sessions.of(account))
      if (session.jid !== spared) this.kick(session, condition, text, true)
  }

  /** Ends a session for good. What it had been sent and did not take is still pending in the ledger, or goes there now. */
  end(session: Session, dropsWaiting = false): void {
    if (session.hasEnded) return
    const { sessions, hooks, log, clock, resends } = this.#options
    const waiting = this.#waiting.get(session)
    waiting?.timer.cancel()
    const unsureSinceMs = this.#unsureSinceMs(session, this.#streams.get(session))
    this.#waiting.delete(session)
    this.#streams.delete(session)
    this.#laggingSince.delete(session)
    session.end(dropsWaiting)
    sessions.remove(session)
    this.counts.ended++
    log.debug('session-ended', { jid: session.jid })
    hooks.emit('session-ended', { session })
    if (session.handled < session.received) this.#settle(session)
    this.#rescue(session, waiting?.sinceMs ?? clock.nowMs())
    this.streamManagement.forget(session, () => resends.trailOf(session, unsureSinceMs))
  }

  /** Since when a client may not know what of its messages has arrived: with XEP-0198 it may never have asked, without it knows until it falls silent. */
  #unsureSinceMs(session: Session, stream: C2sStream | undefined): number {
    if (this.streamManagement.of(session) !== undefined) return session.connectedAtMs
    return this.#options.clock.nowMs() - (stream?.silentRounds ?? 0) * SWEEP_MS
  }

  #settle(session: Session): void {
    const { jid } = session
    const own = new Promise<void>((resolve) => session.whenHandled(resolve))
    const settled = Promise.all([this.#settling.get(jid), own]).then(() => {
      if (this.#settling.get(jid) === settled) this.#settling.delete(jid)
    })
    this.#settling.set(jid, settled)
  }

  #rescue(session: Session, lostAtMs: number): void {
    const { delivery, router, sessions } = this.#options
    const hadOthers = sessions.of(session.account).some((other) => other.isWilling && other.connectedAtMs <= lostAtMs)
    const marks: LogId[] = []
    const untaken = session.outlet.untaken()
    // What is in no ledger is sent to a session without a client only beside one that has a client.
    const alone = untaken.length - (this.streamManagement.of(session)?.outlet.sentDetached ?? 0)
    for (const [index, { mark, data }] of untaken.entries())
      if (mark !== undefined) marks.push(mark)
      else if (index < alone && data.startsWith('<message')) router.salvage(parseStanza(data), hadOthers)
    delivery.leftBehind(session, marks)
  }

  #hasRoom(session: Session): void {
    this.#laggingSince.delete(session)
    this.#options.delivery.proceed(session)
  }

  /** Asks silent clients whether they are there, and cuts those that do not answer or do not read. Nothing is lost by it. */
  #sweep(): void {
    const nowMs = this.#options.clock.monotonicMs()
    const roundsUntilAsked = Math.ceil(this.#options.idleTimeoutMs / SWEEP_MS)
    for (const [session, stream] of this.#streams) {
      stream.silentRounds++
      if (stream.silentRounds === roundsUntilAsked) this.#probe(session, stream)
      else if (stream.silentRounds > roundsUntilAsked * 1.5 && this.streamManagement.of(session) !== undefined)
        stream.connection.destroy()
      this.streamManagement.of(session)?.recording?.refresh()
      this.#watchLag(session, stream, nowMs)
      this.#options.delivery.proceed(session)
    }
  }

  #probe(session: Session, stream: C2sStream): void {
    const managed = this.streamManagement.of(session)
    if (managed === undefined) stream.connection.keepAlive()
    else managed.outlet.ask()
  }

  #watchLag(session: Session, stream: C2sStream, nowMs: number): void {
    if (!session.outlet.isLagging) return
    const since = this.#laggingSince.get(session)
    if (since === undefined) this.#laggingSince.set(session, nowMs)
    else if (nowMs - since >= this.#options.stalledTimeoutMs) {
      this.counts.stalled++
      this.#options.log.info('stream-stalled', { jid: session.jid })
      stream.stall()
    }
  }
}
