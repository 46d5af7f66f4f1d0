import type { Router } from '#server/core/router.ts'
import type { Sessions } from '#server/core/sessions.ts'
import { type BareJid, type Jid, parseJid } from '#stanzas/jid.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import type { ClientCapsApi } from '../client-caps.ts'
import type { NodeFacts, Offer } from '../pubsub.ts'

/** An offer as it goes from home to home; stanzas as text. */
interface Sent {
  readonly node: string
  readonly event: string
  readonly only?: readonly Jid[]
  readonly not?: readonly Jid[]
  readonly otherwise?: string
  readonly ifAvailable?: true
}

/** What offers need of the server. */
export interface OffersParts {
  readonly sessions: Sessions
  readonly router: Router
  readonly clientCaps: ClientCapsApi
  readonly tell: (account: BareJid, payload: string) => void
}

/**
 * Events for accounts that are at home in another process. Which of their resources want them (XEP-0163 §4.3.1) is known there, and the same however often the
 * publisher's home changes; so an event goes there once, and is copied there.
 */
export class Offers {
  readonly #parts: OffersParts

  constructor(parts: OffersParts) {
    this.#parts = parts
  }

  send({ name }: NodeFacts, event: Stanza, offers: readonly Offer[]): void {
    const usual: Sent = { node: name, event: textOf(event) }
    const payload = JSON.stringify(usual)
    for (const { account, only, not, otherwise, ifAvailable } of offers) {
      const isUsual = only === undefined && not.length === 0 && otherwise === undefined
      const sent: Sent = {
        ...usual,
        ...(only === undefined ? {} : { only }),
        ...(not.length === 0 ? {} : { not }),
        ...(otherwise === undefined ? {} : { otherwise: textOf(otherwise) }),
        ...(ifAvailable ? { ifAvailable } : {}),
      }
      this.#parts.tell(account.bare, isUsual ? payload : JSON.stringify(sent))
    }
  }

  /** At the home of the account. */
  take(account: BareJid, payload: string): void {
    const { sessions, router, clientCaps } = this.#parts
    const { node, event, only, not, otherwise, ifAvailable } = JSON.parse(payload) as Sent
    const plain = parseStanza(toWire(event))
    let isWanted = false
    for (const session of sessions.of(account)) {
      if (!session.isAvailable || !clientCaps.isInterested(session, node)) continue
      if (only?.includes(session.jid) === false || not?.includes(session.jid) === true) continue
      isWanted = true
      router.route(plain.restamp({ to: session.address }))
    }
    const to = isWanted || otherwise === undefined ? undefined : parseJid(account)
    if (to === undefined || otherwise === undefined) return
    if (ifAvailable === true && sessions.available(account).length === 0) return
    router.route(parseStanza(toWire(otherwise)).restamp({ to }))
  }
}

const textOf = (stanza: Stanza): string => toText(stanza.wire)
