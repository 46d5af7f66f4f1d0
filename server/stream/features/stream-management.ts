import { randomOctets } from '#server/base/random.ts'
import type { Trail } from '#server/core/resends.ts'
import type { Session } from '#server/core/session.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { NS_STREAM_MANAGEMENT as NS, NS_STANZA_ERRORS } from '#stanzas/namespaces.ts'
import type { StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import type { LogId } from '#storage/shapes.ts'
import type { C2sStream } from '../c2s.ts'
import type { StreamFeature } from '../feature.ts'
import { isOverfull, type OutletLimits, PlainOutlet } from '../outlet.ts'
import { StreamError } from '../stream-error.ts'
import type { Unacked } from './ack-queue.ts'
import { ManagedOutlet } from './managed-outlet.ts'
import type { Recording, Records, ResumeRecord } from './recording.ts'

/** What resumption knows of a session. */
export interface Resumable {
  readonly token: string
  readonly session: Session
  readonly outlet: ManagedOutlet
  /** Stanzas received before `<enable/>`: the zero of its `h`. */
  readonly receivedBefore: number
  /** How many bytes the client gave for later: the stream that carries it now. */
  stream: C2sStream | undefined
  /** Where another process finds what it needs to go on with it. */
  recording: Recording | undefined
}

export interface StreamManagementOptions {
  /** How long a session waits for its client, in milliseconds; 0: resumption is not offered. */
  readonly resumeTimeoutMs: number
  readonly outlet: OutletLimits
  readonly onTaken: (session: Session, mark: LogId) => void
  readonly onRoom: (session: Session) => void
  /** The client has taken nothing for too long. */
  readonly onOverflow: (session: Session) => void
  /** `unflushed`: entries that were sent before `<enabled/>` and never left the server. Gives when the session has what it missed, if that is to be waited for. */
  readonly onResumed: (session: Session, resent: number, unflushed: readonly LogId[]) => void | Promise<void>
  /** An account's client asked for a session that is no more; its trail, if that is known. */
  readonly onRefused: (account: BareJid, trail: Trail | undefined) => void
  /** Where records of sessions are kept for other processes; `undefined` when there are none. */
  readonly records: Records | undefined
  /** Makes the session of a record whose process was lost, carried by this outlet; `undefined` when it cannot go on. */
  readonly revive: (record: ResumeRecord) => Promise<Revived | undefined>
}

/** A session that was made again from its record, and what had been sent to its client. */
export interface Revived {
  readonly sent: readonly Unacked[]
  /** Puts the session in its place, with this outlet. */
  readonly begin: (outlet: ManagedOutlet) => Session
}

/** The last `h` of a session that is gone; with the session, while some of what it received is on its way to the disk. */
interface Gone {
  readonly account: string
  h: string
  session: Session | undefined
  readonly trail: Trail
}

/** `h` of what the server has handled: durable where it must be (DESIGN P1). */
const handledOn = ({ session, receivedBefore }: Resumable): string => String(Math.max(0, session.handled - receivedBefore) >>> 0)

/** Resolves when a record says what is so now. */
const recorded = async ({ recording }: Resumable): Promise<void> => {
  if (recording !== undefined) await new Promise<void>((resolve) => recording.changed(resolve))
}

const OFFER = el(NS, 'sm')

const failed = (condition: StanzaErrorCondition, h?: string): Element => el(NS, 'failed', { h }, el(NS_STANZA_ERRORS, condition))

/** Stream management (XEP-0198): acknowledgements that mean durable, and sessions that outlive their connection. */
export class StreamManagement implements StreamFeature {
  readonly name = 'stream-management'
  readonly elements = [
    [NS, 'enable'],
    [NS, 'resume'],
    [NS, 'r'],
    [NS, 'a'],
  ] as const
  /** What became of requests to resume, and how many stanzas these brought again. */
  readonly counts = { resumed: 0, refused: 0, resent: 0 }
  readonly #options: StreamManagementOptions
  readonly #byToken = new Map<string, Resumable>()
  readonly #bySession = new Map<Session, Resumable>()
  /** The last `h` of sessions that are gone, for the failure that names it (XEP-0198 §5). */
  readonly #gone = new Map<string, Gone>()

  constructor(options: StreamManagementOptions) {
    this.#options = options
  }

  offer(stream: C2sStream): Element | undefined {
    // XEP-0386: a session that was bound inline may still want it.
    const isManaged = stream.session !== undefined && this.#bySession.has(stream.session)
    return stream.phase === 'before-login' || isManaged ? undefined : OFFER
  }

  handle(stream: C2sStream, element: Element): void | Promise<void> {
    if (stream.phase === 'before-login') throw new StreamError('not-authorized')
    if (element.name === 'enable') stream.send(this.enable(stream, element))
    else if (element.name === 'resume') return this.#resume(stream, element)
    else if (element.name === 'r') this.#answer(stream)
    else this.#acknowledge(stream, element)
  }

  /** The managed session, if this one is. */
  of(session: Session): Resumable | undefined {
    return this.#bySession.get(session)
  }

  /** Every managed session. */
  all(): Iterable<Resumable> {
    return this.#bySession.values()
  }

  /** Whether the session waits for its client after its stream was lost; the caller starts the time-out. */
  detach(session: Session): boolean {
    const resumable = this.#bySession.get(session)
    if (resumable === undefined || resumable.token === '') return false
    resumable.outlet.detach()
    resumable.stream = undefined
    return true
  }

  /** Forgets a session that is gone for good, but for its last count. */
  forget(session: Session, trail: () => Trail): void {
    const resumable = this.#bySession.get(session)
    if (resumable === undefined) return
    this.#bySession.delete(session)
    resumable.recording?.end()
    if (resumable.token === '') return
    this.#byToken.delete(resumable.token)
    const gone: Gone = { account: session.account, h: '', session, trail: trail() }
    this.#gone.set(resumable.token, gone)
    // DESIGN P2: what is still on its way must not be sent again.
    session.whenHandled(() => {
      gone.h = handledOn(resumable)
      gone.session = undefined
    })
    if (this.#gone.size > MAX_GONE)
      for (const oldest of this.#gone.keys()) {
        this.#gone.delete(oldest)
        break
      }
  }

  /** Puts the stream's session under management, and gives the answer. */
  enable(stream: C2sStream, element: Element): Element {
    const { session } = stream
    // XEP-0198 §3: after binding, and once.
    if (session === undefined || this.#bySession.has(session) || !(session.outlet instanceof PlainOutlet))
      return failed('unexpected-request')
    const wantsResume = element.attrs.resume === 'true' || element.attrs.resume === '1'
    const canResume = wantsResume && this.#options.resumeTimeoutMs > 0
    const outlet = new ManagedOutlet(
      stream,
      session.outlet,
      this.#options.outlet,
      this.#listener(() => session),
    )
    const token = canResume ? randomOctets(18).toString('base64url') : ''
    this.#manage({ token, session, outlet, receivedBefore: session.received, stream, recording: undefined })
    if (!canResume) return el(NS, 'enabled')
    return el(NS, 'enabled', { id: token, resume: 'true', max: String(Math.floor(this.#options.resumeTimeoutMs / 1000)) })
  }

  #listener(session: () => Session): ConstructorParameters<typeof ManagedOutlet>[3] {
    const { onTaken, onRoom, onOverflow } = this.#options
    return {
      taken: (mark) => onTaken(session(), mark),
      room: () => onRoom(session()),
      overflow: () => onOverflow(session()),
    }
  }

  #manage(resumable: Resumable): void {
    const { token, session, outlet, receivedBefore } = resumable
    session.replaceOutlet(outlet)
    this.#bySession.set(session, resumable)
    if (token === '') return
    this.#byToken.set(token, resumable)
    const recording = this.#options.records?.keep(token, session, outlet, receivedBefore)
    if (recording === undefined) return
    resumable.recording = recording
    outlet.recordBy(recording)
  }

  /** Makes a session again that was lost with its process (XEP-0198 §5), if its client may go on with it. */
  async #revive(account: BareJid | undefined, token: string, h: number): Promise<Resumable | undefined> {
    const { records, revive } = this.#options
    const record = token === '' ? undefined : await records?.look(token)
    if (records === undefined || record === undefined || record.account !== account) return undefined
    const revived = await revive(record)
    if (revived === undefined || this.#byToken.has(token)) return undefined
    const outlet: ManagedOutlet = new ManagedOutlet(
      undefined,
      { acked: record.acked, sent: revived.sent },
      this.#options.outlet,
      this.#listener(() => session),
    )
    if (!outlet.canResume(h)) return undefined
    // Of two who would go on with it one does.
    if ((await records.take(token)) === undefined) return undefined
    const session: Session = revived.begin(outlet)
    const resumable: Resumable = {
      token,
      session,
      outlet,
      receivedBefore: -record.handled,
      stream: undefined,
      recording: undefined,
    }
    this.#manage(resumable)
    records.restore(session, record)
    return resumable
  }

  /** Leaves a session to the process that its client comes back to; resolves when all that this needs is recorded. Without a record it cannot be. */
  async leave(session: Session): Promise<boolean> {
    const resumable = this.#bySession.get(session)
    if (resumable?.recording === undefined) return false
    resumable.outlet.detach()
    resumable.stream = undefined
    await new Promise<void>((resolve) => session.whenHandled(resolve))
    await recorded(resumable)
    resumable.recording.end(true)
    this.#bySession.delete(session)
    this.#byToken.delete(resumable.token)
    return true
  }

  #answer(stream: C2sStream): void {
    const { session } = stream
    const resumable = session === undefined ? undefined : this.#bySession.get(session)
    if (session === undefined || resumable === undefined) throw new StreamError('unsupported-stanza-type')
    // The answer waits until what came before it is durable; nothing else does.
    session.whenHandled(() => {
      const h = handledOn(resumable)
      const say = (): void => {
        if (resumable.stream !== stream) return
        stream.send(el(NS, 'a', { h }))
        if (isOverfull(stream, this.#options.outlet)) stream.close('policy-violation', 'nothing was read for too long')
      }
      // The client forgets what was acknowledged: whoever goes on with the session has to know it.
      if (resumable.recording === undefined) say()
      else resumable.recording.changed(say)
    })
  }

  #acknowledge(stream: C2sStream, element: Element): void {
    const resumable = stream.session === undefined ? undefined : this.#bySession.get(stream.session)
    if (resumable === undefined) throw new StreamError('unsupported-stanza-type')
    const h = parseH(element.attrs.h)
    if (h === undefined) throw new StreamError('policy-violation', { text: 'an acknowledgement says no h' })
    const { outlet } = resumable
    // XEP-0198 §4: more than was sent.
    if (outlet.acknowledge(h) === 'too-high')
      throw new StreamError('undefined-condition', {
        text: 'more stanzas were acknowledged than were sent',
        extra: el(NS, 'handled-count-too-high', { h: String(h), 'send-count': String(outlet.sentCount) }),
      })
  }

  #resume(stream: C2sStream, element: Element): void | Promise<void> {
    const refused = this.resume(stream, element, (resumed) => {
      stream.send(resumed)
      stream.follow()
    })
    if (refused instanceof Promise) return refused.then((settled) => this.#sayRefused(stream, settled))
    this.#sayRefused(stream, refused)
  }

  #sayRefused(stream: C2sStream, refused: Element | undefined): void {
    if (refused !== undefined) stream.send(refused)
  }

  /**
   * Puts a session that lost its stream on this one: `answer` says so, and then lets what the client has not seen follow. The two go together.
   * COMPAT(@xmpp/client 0.14): when it has read <resumed/> from one TLS record it is handed the next one before it is ready for it.
   * Gives what refuses it, if it cannot be done.
   */
  resume(
    stream: C2sStream,
    element: Element,
    answer: (resumed: Element, session: Session) => void,
  ): Element | undefined | Promise<Element | undefined> {
    const h = parseH(element.attrs.h)
    const token = element.attrs.previd ?? ''
    if (stream.session !== undefined || h === undefined) return failed('unexpected-request')
    const resumable = this.#byToken.get(token)
    if (resumable === undefined && this.#options.records !== undefined && !this.#gone.has(token))
      return this.#revive(stream.account, token, h).then((revived) => {
        if (stream.isClosed) return undefined
        return revived === undefined ? this.#refuseResume(stream, token) : this.#resumeOn(stream, revived, h, answer)
      })
    if (resumable === undefined || resumable.session.account !== stream.account) return this.#refuseResume(stream, token)
    return this.#resumeOn(stream, resumable, h, answer)
  }

  #resumeOn(
    stream: C2sStream,
    resumable: Resumable,
    h: number,
    answer: (resumed: Element, session: Session) => void,
  ): Promise<Element | undefined> {
    const { token } = resumable
    if (!resumable.outlet.canResume(h)) {
      this.counts.refused++
      throw new StreamError('undefined-condition', {
        text: 'more stanzas were acknowledged than were sent',
        extra: el(NS, 'handled-count-too-high', { h: String(h), 'send-count': String(resumable.outlet.sentCount) }),
      })
    }
    const { session, outlet } = resumable
    // XEP-0198 §5: the old stream may still look alive; it loses its session, and nothing else.
    resumable.stream?.forsake('conflict', 'resumed by another stream')
    resumable.stream = stream
    // What the old stream delivered and is still on its way to the disk is counted when it is there.
    const settled = new Promise<void>((resolve) => session.whenHandled(resolve)).then(() => recorded(resumable))
    return settled.then((): Element | undefined | Promise<Element | undefined> => {
      // Another stream was quicker, and has ended this one.
      if (resumable.stream !== stream) return undefined
      // Its time was up, or its resource was bound by another stream.
      if (session.hasEnded) return this.#refuseResume(stream, token)
      stream.bound(session)
      stream.precede()
      const resent = outlet.attach(stream, h)
      this.counts.resumed++
      this.counts.resent += resent
      const caughtUp = this.#options.onResumed(session, resent, outlet.unflushed())
      const say = (): undefined => {
        if (!stream.isClosed) answer(el(NS, 'resumed', { previd: token, h: handledOn(resumable) }), session)
        return undefined
      }
      return caughtUp instanceof Promise ? caughtUp.then(say) : say()
    })
  }

  /** XEP-0198 §5: with the last count, if the session was this account's; binding goes on afterwards. */
  #refuseResume(stream: C2sStream, token: string): Element | Promise<Element> {
    this.counts.refused++
    const gone = this.#gone.get(token)
    const isKnown = gone !== undefined && gone.account === stream.account
    if (stream.account !== undefined) this.#options.onRefused(stream.account, isKnown ? gone.trail : undefined)
    if (!isKnown) return failed('item-not-found')
    const { session } = gone
    if (session === undefined) return failed('item-not-found', gone.h)
    return new Promise<void>((resolve) => session.whenHandled(resolve)).then(() => failed('item-not-found', gone.h))
  }
}

/** Counts of sessions that are gone, which are kept for a while. */
const MAX_GONE = 10_000

const parseH = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const h = Number(text)
  return h <= 0xffff_ffff ? h : undefined
}
