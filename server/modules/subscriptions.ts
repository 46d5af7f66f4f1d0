import { integer } from '#server/base/schema.ts'
import { observe, type Passage } from '#server/core/hooks.ts'
import { defineModule, onPresence } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { delayElement } from '#stanzas/delay.ts'
import { el } from '#stanzas/element.ts'
import { type Address, addressOf, type BareJid } from '#stanzas/jid.ts'
import { parseStanza, presence, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { escapeAttribute, wire } from '#stanzas/wire.ts'
import { type Contact, type Decision, hasFrom, hasTo, type Roster, type RosterItem, roster, subscriptionOf } from './roster.ts'
import { Availability } from './subscriptions/availability.ts'
import { inbound, outbound, type SubscriptionStanza, type SubscriptionState } from './subscriptions/states.ts'

const PRE_APPROVAL = el('urn:xmpp:features:pre-approval', 'sub')
const TYPES: readonly SubscriptionStanza[] = ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed']

/** Of a longer request only the fact is kept: what people write to be recognised is shorter. */
const MAX_REQUEST_BYTES = 4_096

/** What modules may do with an account's availability. */
export type SubscriptionsApi = Pick<Availability, 'tellAvailable' | 'tellUnavailable'>

/** Manages who sees whose presence (RFC 6121 §3). */
export const subscriptions = defineModule({
  name: 'subscriptions',
  summary: 'Lets accounts ask for, grant and end the right to see each other’s presence.',
  config: {
    maxRequests: integer({
      default: 200,
      min: 1,
      doc: 'How many requests of strangers wait for an account’s answer; further ones are dropped.',
    }),
  },
  needs: { roster },

  start({ config, needs, sessions, router, clock, domain }) {
    const availability = new Availability(sessions, router)
    const api: SubscriptionsApi = availability

    const send = (type: SubscriptionStanza, from: Address, to: Address): void =>
      router.route(presence({ from: from.bareAddress, to: to.bareAddress, type }))

    /** RFC 6121 §3.1.3: requests go to available resources, what changes the roster to those interested in it, and available ones may like to know too. */
    const deliver = (stanza: Stanza, account: BareJid): void => {
      const isRequest = stanza.type === 'subscribe'
      for (const session of sessions.of(account))
        if (session.isAvailable || (!isRequest && needs.roster.isInterested(session))) session.send(stanza)
    }

    const fromClient = ({ stanza, from, to }: Passage): Promise<void> | undefined => {
      if (!router.isLocal(to)) throw new StanzaError('remote-server-not-found')
      // §4.2.2: everybody is subscribed to themselves already.
      if (to.bare === from.bare) return undefined
      return needs.roster.change(from.bare, to.bare, (now): Decision => {
        const before = stateOf(now)
        const { next, passes } = outbound(before, stanza.type as SubscriptionStanza)
        return {
          ...(next === before ? {} : { next: withState(now, next) }),
          afterPush() {
            // §3.2.1: the contact hears that the resources are gone while it still may.
            if (before.from && !next.from) availability.tellUnavailable(from.bare, to.bareAddress)
            // §3.1.2: these stanzas are between accounts, whatever was written.
            if (passes) router.route(stanza.restamp({ from: from.bareAddress, to: to.bareAddress }))
            // §3.1.5
            if (!before.from && next.from) availability.tellAvailable(from.bare, to.bareAddress)
          },
        }
      })
    }

    const toAccount = ({ stanza, from, to }: Passage): Promise<void> | undefined => {
      if (to.bare === from.bare) return undefined
      const bare = stanza.restamp({ from: from.bareAddress, to: to.bareAddress })
      return needs.roster.change(to.bare, from.bare, (now, all): Decision => {
        const before = stateOf(now)
        const { next, passes, isGranted } = inbound(before, stanza.type as SubscriptionStanza)
        const isRequest = next.isAsked && !before.isAsked
        if (isRequest && all.requests >= config.maxRequests) return {}
        return {
          ...(next === before ? {} : { next: withState(now, next, isRequest ? requestText(bare) : now.request) }),
          // §3.1.6: the stanza first, then what it did to the roster.
          beforePush: () => passes && deliver(bare, to.bare),
          afterPush() {
            // §3.3.3
            if (before.from && !next.from) availability.tellUnavailable(to.bare, from.bareAddress)
            if (isGranted !== true) return
            send('subscribed', to, from)
            availability.tellAvailable(to.bare, from.bareAddress)
          },
        }
      })
    }

    /** XEP-0203 §4: it says when it came, since it may be delivered much later. */
    const requestText = (request: Stanza): string => {
      const append = delayElement(domain, clock.nowMs())
      const { wire: whole } = request.restamp({ append })
      if (whole.length <= MAX_REQUEST_BYTES) return whole
      return presence({ from: request.from, to: request.to, type: 'subscribe' }, append).wire
    }

    /** RFC 6121 §3.1.3: at each login, until it is answered. */
    const remind = (session: Session, { requests, contacts }: Roster): void => {
      if (requests === 0 || session.hasEnded) return
      for (const { request } of contacts.values()) if (request !== undefined) session.send(parseStanza(wire(request)))
    }

    // §2.5.2: a contact that is removed neither sees nor is seen any more.
    needs.roster.onRemoved((account, jid, contact) => {
      const [own, other] = [bareAddressOf(account), bareAddressOf(jid)]
      const { to, from, isAsking, isAsked } = stateOf(contact)
      if (from) availability.tellUnavailable(account, other)
      if (to || isAsking) send('unsubscribe', own, other)
      if (from || isAsked) send('unsubscribed', own, other)
    })

    return {
      api,
      streamFeatures: [{ when: 'after-login', offer: () => PRE_APPROVAL }],
      presence: [
        onPresence('broadcast', TYPES, () => {
          // RFC 6121 §3: it says to whom it goes, or says nothing.
          throw new StanzaError('bad-request')
        }),
        onPresence('directed', TYPES, fromClient),
        onPresence('inbound', TYPES, toAccount),
      ],
      hooks: [
        observe('session-available', ({ session }) => {
          const all = needs.roster.of(session.account)
          return all instanceof Promise ? all.then((loaded) => remind(session, loaded)) : remind(session, all)
        }),
      ],
    }
  },
})

const bareAddressOf = (jid: BareJid): Address => {
  const address = addressOf(escapeAttribute(jid))
  if (address === undefined) throw new Error('a roster holds what is no JID')
  return address
}

const stateOf = ({ item, request }: Contact): SubscriptionState => ({
  to: item !== undefined && hasTo(item.subscription),
  from: item !== undefined && hasFrom(item.subscription),
  isAsking: item?.ask === true,
  isAsked: request !== undefined,
  isApproved: item?.approved === true,
})

/** The same contact in another state. What devices see stays the same object when nothing they see has changed. */
const withState = (now: Contact, next: SubscriptionState, request = now.request): Contact => {
  const before = stateOf(now)
  const isSame =
    before.to === next.to &&
    before.from === next.from &&
    before.isAsking === next.isAsking &&
    before.isApproved === next.isApproved
  const item = isSame ? now.item : itemIn(now.item, next)
  return {
    version: now.version,
    ...(item === undefined ? {} : { item }),
    ...(next.isAsked && request !== undefined ? { request } : {}),
  }
}

const itemIn = (now: RosterItem | undefined, next: SubscriptionState): RosterItem => ({
  ...(now?.name === undefined ? {} : { name: now.name }),
  ...(now?.groups === undefined ? {} : { groups: now.groups }),
  subscription: subscriptionOf(next.to, next.from),
  ...(next.isAsking ? { ask: true } : {}),
  ...(next.isApproved ? { approved: true } : {}),
})
