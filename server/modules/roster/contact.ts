import { type Element, el } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { NS_ROSTER } from '#stanzas/namespaces.ts'

/** Whose presence goes where (RFC 6121 §2.1.2.5): `to` the account, `from` the account, both, or neither. */
export type Subscription = 'none' | 'to' | 'from' | 'both'

/** What the account's own devices see of a contact (RFC 6121 §2.1.2). */
export interface RosterItem {
  readonly name?: string
  readonly groups?: readonly string[]
  readonly subscription: Subscription
  /** A request to the contact waits for its answer (§2.1.2.2). */
  readonly ask?: true
  /** A request of the contact will be granted unasked (§2.1.2.1). */
  readonly approved?: true
}

/** Everything an account keeps of another address. Without an item it is not in the roster: it was removed, or only asks to be subscribed. */
export interface Contact {
  /** The roster's version when the item last changed or went; 0 when it never was in the roster. */
  readonly version: number
  readonly item?: RosterItem
  /** The contact's request that nobody has answered, as it is delivered at each login (RFC 6121 §3.1.3). */
  readonly request?: string
}

/** What is kept of a stranger. */
export const STRANGER: Contact = { version: 0 }

/** Whether the contact gets the account's presence. */
export const hasFrom = (subscription: Subscription): boolean => subscription === 'from' || subscription === 'both'

/** Whether the account gets the contact's presence. */
export const hasTo = (subscription: Subscription): boolean => subscription === 'to' || subscription === 'both'

/** The subscription with these two halves. */
export const subscriptionOf = (to: boolean, from: boolean): Subscription => (to ? (from ? 'both' : 'to') : from ? 'from' : 'none')

/** The `<item/>` of a roster result or push (RFC 6121 §2.1.2); of a contact that is not in the roster, its removal. */
export const itemElement = (jid: BareJid, { item }: Contact): Element =>
  item === undefined
    ? el(NS_ROSTER, 'item', { jid, subscription: 'remove' })
    : el(
        NS_ROSTER,
        'item',
        {
          jid,
          name: item.name,
          subscription: item.subscription,
          ask: item.ask === undefined ? undefined : 'subscribe',
          approved: item.approved === undefined ? undefined : 'true',
        },
        ...(item.groups ?? []).map((group) => el(NS_ROSTER, 'group', {}, group)),
      )
