/** The stanzas that manage subscriptions (RFC 6121 §3). */
export type SubscriptionStanza = 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed'

/** One account's view of a subscription: the nine states of RFC 6121 §A.1, and pre-approval (§3.4). */
export interface SubscriptionState {
  /** The account gets the contact's presence. */
  readonly to: boolean
  /** The contact gets the account's presence. */
  readonly from: boolean
  /** "Pending out": the account has asked. */
  readonly isAsking: boolean
  /** "Pending in": the contact has asked. */
  readonly isAsked: boolean
  readonly isApproved: boolean
}

/** What a stanza does. `passes`: it is routed (outbound) or delivered (inbound). */
export interface Transition {
  /** The same object when nothing changes. */
  readonly next: SubscriptionState
  readonly passes: boolean
  /** The server grants the request on the account's behalf. */
  readonly isGranted?: boolean
}

/** What the account's own stanza does (RFC 6121 §A.2). */
export const outbound = (now: SubscriptionState, stanza: SubscriptionStanza): Transition => {
  switch (stanza) {
    case 'subscribe':
      return { next: now.to || now.isAsking ? now : { ...now, isAsking: true }, passes: true }
    case 'unsubscribe':
      return { next: withoutTo(now), passes: true }
    case 'subscribed':
      if (now.isAsked) return { next: { ...now, from: true, isAsked: false, isApproved: false }, passes: true }
      // §3.4.2: nobody has asked yet. It is noted for when somebody does.
      return { next: now.from || now.isApproved ? now : { ...now, isApproved: true }, passes: false }
    case 'unsubscribed':
      return { next: withoutFrom(now.isApproved ? { ...now, isApproved: false } : now), passes: now.from || now.isAsked }
  }
}

/** What a stanza from the contact does (RFC 6121 §A.3). */
export const inbound = (now: SubscriptionState, stanza: SubscriptionStanza): Transition => {
  switch (stanza) {
    case 'subscribe':
      // §3.1.3: already subscribed.
      if (now.from) return { next: now, passes: false, isGranted: true }
      // §3.4.2
      if (now.isApproved)
        return { next: { ...now, from: true, isAsked: false, isApproved: false }, passes: false, isGranted: true }
      return now.isAsked ? { next: now, passes: false } : { next: { ...now, isAsked: true }, passes: true }
    case 'subscribed':
      return now.isAsking ? { next: { ...now, to: true, isAsking: false }, passes: true } : { next: now, passes: false }
    case 'unsubscribe':
      return { next: withoutFrom(now), passes: now.from || now.isAsked }
    case 'unsubscribed':
      return { next: withoutTo(now), passes: now.to || now.isAsking }
  }
}

const withoutTo = (now: SubscriptionState): SubscriptionState =>
  now.to || now.isAsking ? { ...now, to: false, isAsking: false } : now

const withoutFrom = (now: SubscriptionState): SubscriptionState =>
  now.from || now.isAsked ? { ...now, from: false, isAsked: false } : now
