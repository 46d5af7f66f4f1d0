import { el } from '#stanzas/element.ts'
import { StanzaError, type StanzaErrorCondition, type StanzaErrorType } from '#stanzas/stanza-error.ts'

const NS_PUBSUB_ERRORS = 'http://jabber.org/protocol/pubsub#errors'

/** The conditions of XEP-0060 §17.2 that come with a general one. */
export type PubsubCondition =
  | 'closed-node'
  | 'invalid-jid'
  | 'invalid-options'
  | 'invalid-payload'
  | 'item-forbidden'
  | 'item-required'
  | 'jid-required'
  | 'max-items-exceeded'
  | 'max-nodes-exceeded'
  | 'node-full'
  | 'nodeid-required'
  | 'not-in-roster-group'
  | 'not-subscribed'
  | 'payload-required'
  | 'payload-too-big'
  | 'pending-subscription'
  | 'precondition-not-met'
  | 'presence-subscription-required'
  | 'too-many-subscriptions'
  | 'unsupported-access-model'

/** A refusal with a condition of pubsub's own (XEP-0060 §17.2). */
export const refusal = (condition: StanzaErrorCondition, detail: PubsubCondition, type?: StanzaErrorType): StanzaError =>
  new StanzaError(condition, { ...(type !== undefined && { type }), extra: el(NS_PUBSUB_ERRORS, detail) })

/** A refusal of what this node or host does not do (XEP-0060 §11). */
export const unsupported = (feature: string): StanzaError =>
  new StanzaError('feature-not-implemented', { extra: el(NS_PUBSUB_ERRORS, 'unsupported', { feature }) })
