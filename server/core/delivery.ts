import { delayElement } from '#stanzas/delay.ts'
import type { Address } from '#stanzas/jid.ts'
import { NS_DELAY } from '#stanzas/namespaces.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { isSpoofedStanzaId, stanzaIdWire } from '#stanzas/stanza-id.ts'
import type { LogEntry, LogId } from '#storage/shapes.ts'
import { type Ledger, stanzaOf } from './ledger.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'

/** Entries read at once while a session catches up. */
const PAGE = 100

/** Which resources of a local account get a message (RFC 6121 §8.5), and how a session is brought up to what it missed. */
export class Delivery {
  readonly #sessions: Sessions
  readonly #ledger: Ledger
  readonly #domain: Address
  readonly #onFailure: (session: Session, error: unknown) => void

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
      for (const session of sessions) session.send(message)
      return
    }
    let copy: Stanza | undefined
    for (const session of sessions) {
      if (session.isCatchingUp) session.hasMissed = true
      else if (session.outlet.isLagging) this.catchUp(session)
      else {
        copy ??= message.restamp({ append: stanzaIdWire(to.bareAddress, entry) })
        session.send(copy, entry)
      }
    }
  }

  /** Whether a live message that is in no ledger would only pile up in front of a client that does not read. */
  isBehind(session: Session): boolean {
    return session.isCatchingUp || session.outlet.isLagging
  }

  /** Sends what the ledger holds for this session and it was not sent yet, oldest first, as fast as its client takes it; then live messages go on. */
  catchUp(session: Session): void {
    if (session.isCatchingUp) {
      session.hasMissed = true
      return
    }
    session.isCatchingUp = true
    session.hasMissed = true
    this.#continue(session)
  }

  /** The outlet has room again. */
  proceed(session: Session): void {
    if (session.isCatchingUp && session.hasMissed) this.#continue(session)
  }

  #continue(session: Session): void {
    this.#drain(session).catch((error: unknown) => {
      session.isCatchingUp = false
      this.#onFailure(session, error)
    })
  }

  async #drain(session: Session): Promise<void> {
    const sentBefore = new Set(session.outlet.untaken().map(({ mark }) => mark))
    while (session.hasMissed && !session.hasEnded && session.isWilling) {
      if (session.outlet.isLagging) return
      session.hasMissed = false
      const entries = await this.#ledger.pending(session.account, session.lastSent, PAGE)
      for (const entry of entries) if (!sentBefore.has(entry.id)) this.#redeliver(session, entry)
      if (entries.length === PAGE) session.hasMissed = true
    }
    session.isCatchingUp = false
  }

  #redeliver(session: Session, entry: LogEntry): void {
    const message = stanzaOf(entry)
    const to = message.to ?? session.address
    if (to.resourcepart !== '' && to.resourcepart !== session.resource && this.#sessions.get(to) !== undefined) {
      // It is for another resource, which is connected and has it or will have it.
      session.lastSent = Math.max(session.lastSent, entry.id)
      return
    }
    const by = session.address.bareAddress
    // XEP-0203 §4: the time it came to the server, said by the server, once.
    const late = message.restamp({
      drop: (payload, stanza) => isOwnDelay(payload, stanza, this.#domain) || isSpoofedStanzaId(payload, stanza, by),
      append: delayElement(this.#domain, entry.atMs),
    })
    session.send(late.restamp({ append: stanzaIdWire(by, entry.id) }), entry.id)
  }

  /** What was sent to a session's full JID, and not taken before it ended for good, goes to the account's other resources (RFC 6121 §8.5.3.2.1). */
  async leftBehind(session: Session, marks: ReadonlySet<LogId>): Promise<void> {
    const others = this.#willing(session.address.bareAddress).filter((other) => other !== session)
    if (others.length === 0 || marks.size === 0) return
    const entries = await this.#ledger.pending(session.account, Math.min(...marks) - 1, marks.size + PAGE)
    for (const entry of entries) {
      if (!marks.has(entry.id) || stanzaOf(entry).to?.resourcepart !== session.resource) continue
      for (const other of others) this.#redeliver(other, entry)
    }
  }
}

const isOwnDelay = (payload: Payload, stanza: Stanza, domain: Address): boolean =>
  payload.ns === NS_DELAY && stanza.get(NS_DELAY, payload.name)?.attrs['from'] === domain.jid
