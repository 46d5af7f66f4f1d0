import { claimsDelayBy, delayElement } from '#stanzas/delay.ts'
import type { Address } from '#stanzas/jid.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { isSpoofedStanzaId, stanzaIdWire } from '#stanzas/stanza-id.ts'
import type { LogEntry, LogId } from '#storage/shapes.ts'
import { type Ledger, stanzaOf } from './ledger.ts'
import { mayHaveMore } from './newest.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'

/** What is read at once while a session catches up. */
const PAGE = { limit: 100, maxBytes: 262_144 }
/** What is kept nowhere and comes behind what a session is still to read; with more, all of it goes ahead. */
const MAX_HELD = 100
const MAX_HELD_BYTES = 64 * 1024
/** Entries shown to a session that is behind which are remembered; those beyond it get what they were shown once more. */
const MAX_SHOWN = 10_000

interface Held {
  readonly messages: Stanza[]
  bytes: number
}

/** Which resources of a local account get a message (RFC 6121 §8.5), and how a session is brought up to what it missed. */
export class Delivery {
  /** Copies that went to a session as they came, and from the ledger. */
  readonly counts = { live: 0, late: 0 }
  readonly #sessions: Sessions
  readonly #ledger: Ledger
  readonly #domain: Address
  readonly #onFailure: (session: Session, error: unknown) => void
  /** The newest entry that went to those it is for; entries go in the order of their ids. */
  #last: LogId
  /** What comes behind it. */
  readonly #held = new WeakMap<Session, Held>()
  /** What sessions that are behind were shown of what they have not come to yet. */
  readonly #shown = new WeakMap<Session, Set<LogId>>()
  /** The latest read for each. */
  readonly #reads = new WeakMap<Session, Promise<void>>()

  constructor(parts: {
    readonly sessions: Sessions
    readonly ledger: Ledger
    readonly domain: Address
    readonly onFailure: (session: Session, error: unknown) => void
  }) {
    this.#sessions = parts.sessions
    this.#ledger = parts.ledger
    this.#domain = parts.domain
    this.#onFailure = parts.onFailure
    this.#last = parts.ledger.lastId
  }

  /** The resources a message is for. Throws what its sender is told when the rules refuse it. */
  recipients(message: Stanza, to: Address): readonly Session[] {
    const type = message.type
    if (to.resourcepart !== '') {
      const session = this.#sessions.get(to)
      // RFC 6121 §8.5.3.1: a resource that is connected gets it, whatever its presence.
      if (session !== undefined) return [session]
      // §8.5.3.2.1: nobody there. Groupchat is refused, headline and error are dropped, the rest falls back to the bare JID.
      if (type === 'groupchat') throw new StanzaError('service-unavailable')
      if (type === 'headline' || type === 'error') return []
    } else {
      // §8.5.2.1.1: the server never delivers groupchat or error to a bare JID.
      if (type === 'groupchat') throw new StanzaError('service-unavailable')
      if (type === 'error') return []
    }
    return this.#willing(to)
  }

  /** §8.5.2.1.1: a negative priority never receives bare-JID messages; all others do, so that all devices agree. */
  #willing(to: Address): readonly Session[] {
    const sessions = this.#sessions.of(to.bare)
    const first = sessions[0]
    if (first === undefined || (sessions.length === 1 && first.isWilling)) return sessions
    return sessions.filter((session) => session.isWilling)
  }

  /**
   * Sends a message to its resources. `entry` is its place in the recipient's ledger: then each copy carries the stanza-id, and sessions
   * that are behind find it there by themselves.
   */
  send(message: Stanza, to: Address, sessions: readonly Session[], entry: LogId | undefined): void {
    if (entry === undefined) {
      this.counts.live += sessions.length
      for (const session of sessions) this.sendBehind(session, message)
      return
    }
    this.#last = entry
    let copy: Stanza | undefined
    for (const session of sessions) {
      if (session.isCatchingUp) this.#leave(session)
      else if (session.outlet.isLagging) this.#fallBehind(session, entry - 1)
      else {
        copy ??= message.restamp({ append: stanzaIdWire(to.bareAddress, entry) })
        this.counts.live++
        session.send(copy, entry)
      }
    }
  }

  /** Sends what is in no ledger; to a session that is still to read there, behind that (RFC 6120 §10.1). */
  sendBehind(session: Session, message: Stanza): void {
    if (!session.isCatchingUp) return session.send(message)
    const held = this.#held.get(session) ?? { messages: [], bytes: 0 }
    this.#held.set(session, held)
    held.messages.push(message.detach())
    held.bytes += message.size
    if (held.messages.length > MAX_HELD || held.bytes > MAX_HELD_BYTES) this.#sendHeld(session)
    // Like #leave: who never says that it is available would wait for ever.
    else if (!session.isWilling) this.#read(session)
  }

  #sendHeld(session: Session): void {
    const held = this.#held.get(session)
    if (held === undefined) return
    this.#held.delete(session)
    for (const message of held.messages) session.send(message)
  }

  /**
   * Sends entries inside of other stanzas, as an archive does (XEP-0313 §6.1.1): one that is pending counts as taken when the client has it,
   * and none is sent to the session again by itself.
   */
  show(session: Session, entries: readonly LogEntry[], wrap: (entry: LogEntry) => Stanza): void {
    const sent = entries.some(({ isPending }) => isPending) ? sentTo(session) : NOTHING
    for (const entry of entries) {
      if (session.isCatchingUp && entry.id > session.cursor) this.#remember(session, entry.id)
      session.send(wrap(entry), entry.isPending && !sent.has(entry.id) ? entry.id : undefined)
    }
  }

  #remember(session: Session, id: LogId): void {
    const shown = this.#shown.get(session) ?? new Set()
    this.#shown.set(session, shown)
    if (shown.size < MAX_SHOWN) shown.add(id)
  }

  /** Whether a live message that is in no ledger would only pile up in front of a client that does not read. */
  isBehind(session: Session): boolean {
    return session.isCatchingUp || session.outlet.isLagging
  }

  /** An account has become at home here, whose entries end with this one at most: what comes is behind it. */
  reached(last: LogId): void {
    if (last > this.#last) this.#last = last
  }

  /** A session begins, or begins to take bare-JID messages: it gets nothing live until what waited for it in the ledger has been sent. */
  hold(session: Session): void {
    session.isCatchingUp = true
    session.isNew = true
    session.hasMissed = true
    session.cursor = 0
    session.since = this.#last
  }

  /** Sends what waits in the ledger for this session, oldest first, as fast as its client takes it; then live messages go on. */
  catchUp(session: Session): void {
    if (!session.isCatchingUp) this.hold(session)
    this.#read(session)
  }

  /** The outlet has room again, or an earlier read may have failed. */
  proceed(session: Session): void {
    if (session.isCatchingUp) this.#read(session)
  }

  /** What is pending behind this entry may not have reached the session, though newer messages have. */
  sendBack(session: Session, cursor: LogId): void {
    if (!session.isCatchingUp) this.#fallBehind(session, this.#last)
    else if (session.cursor > session.since) session.since = session.cursor
    if (cursor < session.cursor) session.cursor = cursor
    session.isNew = false
    session.hasMissed = true
    this.#shown.delete(session)
    this.#read(session)
  }

  /** A session ended for good: what was addressed to its full JID and not taken is for the account's other resources (RFC 6121 §8.5.3.2.1). */
  leftBehind(session: Session, marks: readonly LogId[]): void {
    const first = Math.min(...marks, session.isCatchingUp ? session.cursor + 1 : Number.POSITIVE_INFINITY)
    if (first === Number.POSITIVE_INFINITY) return
    for (const other of this.#willing(session.address.bareAddress)) if (other !== session) this.sendBack(other, first - 1)
  }

  #leave(session: Session): void {
    session.hasMissed = true
    // One that takes what is addressed to it alone may never say that it is available, so this is the moment to look what there is.
    if (!session.isWilling) this.#read(session)
  }

  /** Everything up to this entry went to the session as it came. */
  #fallBehind(session: Session, last: LogId): void {
    session.isCatchingUp = true
    session.isNew = false
    session.hasMissed = true
    session.cursor = last
    session.since = last
    this.#read(session)
  }

  /** Resolves when the session was sent what it missed, as far as its client takes it; `undefined` when nothing is being read for it. */
  caughtUp(session: Session): Promise<void> | undefined {
    return session.isReading ? this.#reads.get(session) : undefined
  }

  #read(session: Session): void {
    // Of two reads at once each would send what the other does.
    if (session.isReading || session.outlet.isLagging) return
    session.isReading = true
    const read = this.#drain(session).catch((error: unknown) => this.#onFailure(session, error))
    this.#reads.set(session, read)
  }

  async #drain(session: Session): Promise<void> {
    try {
      while (session.hasMissed && !session.hasEnded) {
        if (session.outlet.isLagging) return
        await this.#sendPage(session)
      }
      session.isCatchingUp = false
      this.#shown.delete(session)
      this.#sendHeld(session)
    } catch (error) {
      // It stays behind, and tries again when `proceed` is called.
      session.hasMissed = true
      throw error
    } finally {
      session.isReading = false
    }
  }

  async #sendPage(session: Session): Promise<void> {
    const { account, cursor, since } = session
    session.hasMissed = false
    // An entry that is pending and not among these has not been sent to this session.
    const sent = sentTo(session)
    const isOld = cursor < since
    const page = isOld ? await this.#ledger.pending(account, cursor, PAGE) : await this.#ledger.since(account, cursor, PAGE)
    if (session.cursor !== cursor || session.since !== since) {
      session.hasMissed = true
      return
    }
    for (const entry of page) {
      if (isOld && entry.id > since) {
        session.cursor = since
        session.hasMissed = true
        return
      }
      if (session.outlet.isLagging) {
        session.hasMissed = true
        return
      }
      session.cursor = entry.id
      if (entry.direction === 'in' && !sent.has(entry.id) && !this.#shown.get(session)?.has(entry.id))
        this.#redeliver(session, entry)
      if (session.hasEnded) return
    }
    if (mayHaveMore(page, PAGE)) session.hasMissed = true
    else if (isOld) session.cursor = since
  }

  #redeliver(session: Session, entry: LogEntry): void {
    try {
      const message = stanzaOf(entry)
      if (!this.#isFor(session, message.to ?? session.address, entry)) return
      this.counts.late++
      session.send(this.#copyOf(message, session.address, entry, !session.isNew || entry.id <= session.since), entry.id)
    } catch (error) {
      // One that cannot be sent must not hold up those behind it.
      this.#onFailure(session, error)
    }
  }

  /** An entry as it is sent to a device of its account for which it comes late. */
  lateCopy(entry: LogEntry, device: Address): Stanza {
    return this.#copyOf(stanzaOf(entry), device, entry, true)
  }

  #copyOf(message: Stanza, device: Address, entry: LogEntry, isLate: boolean): Stanza {
    const by = device.bareAddress
    const drop = (payload: Payload, stanza: Stanza): boolean =>
      claimsDelayBy(payload, stanza, this.#domain) || isSpoofedStanzaId(payload, stanza, by)
    // XEP-0203 §4: the time it came to the server, said by the server, once.
    const copy = message.restamp(isLate ? { drop, append: delayElement(this.#domain, entry.atMs) } : { drop })
    return copy.restamp({ append: stanzaIdWire(by, entry.id) })
  }

  #isFor(session: Session, to: Address, { atMs, isPending }: LogEntry): boolean {
    const { resourcepart } = to
    if (resourcepart === session.resource) return true
    if (!session.isWilling) return false
    if (resourcepart === '') return true
    // Another resource had it. When that is gone and did not take it, or is there but came later and takes nothing that waited, it is for the others.
    const addressee = this.#sessions.get(to)
    return isPending && (addressee === undefined || (!addressee.isWilling && atMs < addressee.connectedAtMs))
  }
}

const NOTHING: ReadonlySet<LogId | undefined> = new Set()

/** The entries that are on their way to the session's client. */
const sentTo = (session: Session): ReadonlySet<LogId | undefined> => new Set(session.outlet.untaken().map(({ mark }) => mark))
