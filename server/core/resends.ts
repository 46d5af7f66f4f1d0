import type { Clock } from '#server/base/clock.ts'
import type { Address } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { type Ledger, stanzaOf } from './ledger.ts'
import type { Session } from './session.ts'

/** A client sends again what was not acknowledged as soon as it is back; later, the same words are said anew. */
const WINDOW_MS = 60_000
/** Its latest messages to one contact, among which a repeated one must be: more than a client may leave unacknowledged. */
const RECENT = 1_000

/** What makes two stanzas the same message: all of it but the addresses, of which the resource may be another. */
const contentOf = (message: Stanza): string => message.restamp({ from: undefined, to: undefined }).wire

/**
 * DESIGN P2: a client that could not resume its stream sends again what was not acknowledged (XEP-0198 §5), and some of that was stored before the stream broke.
 * Only sessions that begin after such a failure are looked at, and only for a minute.
 */
export class Resends {
  readonly #ledger: Ledger
  readonly #clock: Clock
  /** What each of these sessions' accounts has sent to each contact lately. */
  readonly #recent = new WeakMap<Session, Map<string, Promise<ReadonlySet<string>>>>()

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger
    this.#clock = clock
  }

  /** Whether the ledger has this message of this session already. Without an id nothing can be known to be the same. */
  async has(session: Session, message: Stanza, to: Address): Promise<boolean> {
    if (this.#clock.nowMs() - session.connectedAtMs > WINDOW_MS) session.mayResend = false
    if (!session.mayResend || message.id === undefined) return false
    const contacts = this.#recent.get(session) ?? new Map<string, Promise<ReadonlySet<string>>>()
    this.#recent.set(session, contacts)
    const known = contacts.get(to.bare) ?? this.#read(session, to)
    contacts.set(to.bare, known)
    return (await known).has(contentOf(message))
  }

  async #read(session: Session, to: Address): Promise<ReadonlySet<string>> {
    const entries = await this.#ledger.sentTo(session.account, to.bare, RECENT)
    return new Set(entries.map((entry) => contentOf(stanzaOf(entry))))
  }
}
