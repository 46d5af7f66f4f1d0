import type { Router } from '#server/core/router.ts'
import type { Sessions } from '#server/core/sessions.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { presence } from '#stanzas/stanza.ts'

/** Tells single addresses of an account's presence. */
export class Availability {
  readonly #sessions: Sessions
  readonly #router: Router

  constructor(sessions: Sessions, router: Router) {
    this.#sessions = sessions
    this.#router = router
  }

  /** Sends the presence of every available resource; tells how many there were. */
  tellAvailable(account: BareJid, to: Address): number {
    let count = 0
    for (const { presence: last } of this.#sessions.of(account)) {
      if (last === undefined) continue
      this.#router.route(last.restamp({ to }))
      count++
    }
    return count
  }

  /** Says of every available resource that it is unavailable. */
  tellUnavailable(account: BareJid, to: Address): void {
    for (const { address, isAvailable } of this.#sessions.of(account))
      if (isAvailable) this.#router.route(presence({ from: address, to, type: 'unavailable' }))
  }
}
