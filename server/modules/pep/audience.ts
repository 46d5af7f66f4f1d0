import type { Session } from '#server/core/session.ts'
import type { Sessions } from '#server/core/sessions.ts'
import { type Address, addressOf, type BareJid } from '#stanzas/jid.ts'
import { escapeAttribute } from '#stanzas/wire.ts'
import type { BlockingApi } from '../blocking.ts'
import type { ClientCapsApi } from '../client-caps.ts'
import type { NodeFacts } from '../pubsub.ts'
import { hasFrom, type Roster, type RosterApi } from '../roster.ts'
import type { Guests } from './guests.ts'

/** What has to be known to find those who are told of events without having subscribed. */
export interface AudienceParts {
  readonly sessions: Sessions
  readonly roster: RosterApi
  readonly blocking: BlockingApi
  readonly clientCaps: ClientCapsApi
  readonly guests: Guests
  readonly isHere: (account: BareJid) => boolean
  /** Whether this is the address of an account, or at one, whose home is another process. */
  readonly isElsewhere: (to: Address) => boolean
}

/**
 * Who shares presence with an account and wants events of one of its nodes (XEP-0163 §4): each such resource by its full JID (§4.3.1). Whether it may
 * have them is decided by the node's access model elsewhere, but whoever a presence node is out of reach for is not even looked at. Accounts at home in another
 * process are named by their bare JID, or by those of their resources that alone share presence; which of these want events is known there.
 */
export class Audience {
  readonly #parts: AudienceParts

  constructor(parts: AudienceParts) {
    this.#parts = parts
  }

  of(node: NodeFacts): readonly Address[] | Promise<readonly Address[]> {
    const roster = this.#parts.roster.of(node.owner)
    return roster instanceof Promise ? roster.then((loaded) => this.#among(node, loaded)) : this.#among(node, roster)
  }

  #among(node: NodeFacts, { contacts }: Roster): readonly Address[] | Promise<readonly Address[]> {
    const { guests } = this.#parts
    const { owner } = node
    const wanted = `${node.name}+notify`
    const found: Address[] = []
    this.#collect(owner, wanted, found)
    const own = found.length
    const isForSubscribed = node.config.accessModel === 'presence'
    for (const [jid, { item }] of contacts)
      if (item !== undefined && (isForSubscribed ? hasFrom(item.subscription) : item.subscription !== 'none'))
        this.#collect(jid, wanted, found)
    const strangers = guests.of(owner)
    if (strangers.size > 0) {
      const contactsToo = new Set(found.map(({ jid }) => jid))
      for (const guest of strangers.values())
        if (!contactsToo.has(guest.jid) && !contactsToo.has(guest.bare)) this.#collectGuest(guest, wanted, found)
    }
    return this.#withoutBlocked(owner, found, own)
  }

  #collect(account: BareJid, wanted: string, found: Address[]): void {
    const { sessions, isHere, isElsewhere } = this.#parts
    for (const session of sessions.of(account)) if (this.#wants(session, wanted)) found.push(session.address)
    const away = isHere(account) ? undefined : addressOf(escapeAttribute(account))
    if (away !== undefined && isElsewhere(away)) found.push(away)
  }

  #collectGuest(guest: Address, wanted: string, found: Address[]): void {
    const session = this.#parts.sessions.get(guest)
    if (session === undefined ? this.#parts.isElsewhere(guest) : this.#wants(session, wanted)) found.push(guest)
  }

  #wants(session: Session, wanted: string): boolean {
    return session.isAvailable && this.#parts.clientCaps.featuresOf(session)?.has(wanted) === true
  }

  /** XEP-0163 §4.3.3: nothing to whom the account has blocked. */
  #withoutBlocked(owner: BareJid, found: readonly Address[], own: number): readonly Address[] | Promise<readonly Address[]> {
    const { blocking } = this.#parts
    const verdicts = found.map((address, i) => i >= own && blocking.isBlocked(owner, address))
    if (!verdicts.some((verdict) => verdict !== false)) return found
    return Promise.all(verdicts).then((isBlocked) => found.filter((_, i) => isBlocked[i] !== true))
  }
}
