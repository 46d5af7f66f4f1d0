import type { BareJid, Jid } from '#stanzas/jid.ts'
import type { Affiliation, NodeConfig } from './node-config.ts'
import type { SubscriptionOptions } from './subscription-options.ts'

/**
 * What is stored, all of it in one store so that whatever changes together is written together. The owner of a document is the node's owner.
 *
 * - `node`: one for each node.
 * - `item`: by its place in the order of publication, so that a page is one listing.
 * - `place`: where the item with this id is; these are read when a node is first used, the items only when somebody asks for them.
 * - `subscription`: by node and subscriber; `subscribed` says the same by subscriber and node.
 */
export type Stored = StoredNode | StoredItem | StoredPlace | StoredSubscription | StoredSubscribed

export interface StoredNode {
  readonly kind: 'node'
  readonly config: NodeConfig
  readonly affiliations: readonly (readonly [BareJid, Affiliation])[]
  readonly creator: BareJid
  readonly createdAtMs: number
}
export interface StoredItem {
  readonly kind: 'item'
  readonly id: string
  /** As text, with its namespace declared. */
  readonly payload?: string
  readonly publisher: Jid
  readonly atMs: number
}
export interface StoredPlace {
  readonly kind: 'place'
  readonly seq: number
  readonly atMs: number
}
export interface StoredSubscription {
  readonly kind: 'subscription'
  readonly state: 'subscribed' | 'pending'
  readonly options: SubscriptionOptions
}
export interface StoredSubscribed {
  readonly kind: 'subscribed'
  readonly state: 'subscribed' | 'pending'
}

/** XML has no such character, so no name, id or JID has it. */
const SEPARATOR = '\x1f'
const key = (...parts: readonly string[]): string => parts.join(SEPARATOR)

/** Where the parts of each kind of document begin; a key with one part less and a separator at its end is a prefix. */
export const NODES = key('node', '')
export const nodeKey = (node: string): string => key('node', node)
export const placesOf = (node: string): string => key('place', node, '')
export const placeKey = (node: string, id: string): string => key('place', node, id)
export const itemsOf = (node: string): string => key('item', node, '')
/** Sixteen digits keep numbers in the order of their texts. */
export const itemKey = (node: string, seq: number): string => key('item', node, seq.toString().padStart(16, '0'))
export const subscriptionsOf = (node: string): string => key('subscription', node, '')
export const subscriptionKey = (node: string, jid: Jid): string => key('subscription', node, jid)
export const subscribedOf = (bare: BareJid): string => key('subscribed', bare, '')
export const subscribedKey = (bare: BareJid, node: string, jid: Jid): string => key('subscribed', bare, node, jid)

/** The parts of a key behind its prefix. */
export const partsBehind = (prefix: string, whole: string): readonly string[] => whole.slice(prefix.length).split(SEPARATOR)

/** Whether a name or an id can be part of a key, and is not too long to be one. */
export const isStorableName = (name: string, maxBytes: number): boolean =>
  name !== '' &&
  name.length <= maxBytes &&
  Buffer.byteLength(name) <= maxBytes &&
  !name.includes(SEPARATOR) &&
  name.isWellFormed()
