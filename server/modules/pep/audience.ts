import type { Session } from '#server/core/session.ts'
import type { Sessions } from '#server/core/sessions.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
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
}

/**
 * Who shares presence with an account and wants events of one of its nodes (XEP-0163 §4): each such resource by its full JID (§4.3.1). Whether it may
 * have them is decided by the node's access model elsewhere, but whoever a presence node is out of reach for is not even looked at.
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
    const { sessions, guests } = this.#parts
    const { owner } = node
    const wanted = `${node.name}+notify`
    const found: Address[] = []
    this.#collect(sessions.of(owner), wanted, found)
    const own = found.length
    const isForSubscribed = node.config.accessModel === 'presence'
    for (const [jid, { item }] of contacts)
      if (item !== undefined && (isForSubscribed ? hasFrom(item.subscription) : item.subscription !== 'none'))
        this.#collect(sessions.of(jid), wanted, found)
    const strangers = guests.of(owner)
    if (strangers.size > 0) {
      const contactsToo = new Set(found)
      for (const guest of strangers) if (!contactsToo.has(guest.address)) this.#collect([guest], wanted, found)
    }
    return this.#withoutBlocked(owner, found, own)
  }

  #collect(candidates: Iterable<Session>, wanted: string, found: Address[]): void {
    for (const session of candidates)
      if (session.isAvailable && this.#parts.clientCaps.featuresOf(session)?.has(wanted) === true) found.push(session.address)
  }

  /** XEP-0163 §4.3.3: nothing to whom the account has blocked. */
  #withoutBlocked(owner: BareJid, found: readonly Address[], own: number): readonly Address[] | Promise<readonly Address[]> {
    const { blocking } = this.#parts
    const verdicts = found.map((address, i) => i >= own && blocking.isBlocked(owner, address))
    if (!verdicts.some((verdict) => verdict !== false)) return found
    return Promise.all(verdicts).then((isBlocked) => found.filter((_, i) => isBlocked[i] !== true))
  }
}
