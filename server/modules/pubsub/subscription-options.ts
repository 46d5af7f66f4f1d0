import { booleanIn, type DataForm, type Field, formTypeField, formTypeOf } from '#stanzas/data-form.ts'
import { formatDateTime, parseDateTime } from '#stanzas/datetime.ts'
import type { StanzaError } from '#stanzas/stanza-error.ts'
import { refusal } from './errors.ts'

const FORM_TYPE = 'http://jabber.org/protocol/pubsub#subscribe_options'

/** How a subscriber wants to be told (XEP-0060 §16.4.2). */
export interface SubscriptionOptions {
  readonly deliver: boolean
  /** When the lease ends (XEP-0060 §12.19). */
  readonly expiresAtMs?: number | undefined
  /** Of a collection: items of its nodes, which nodes come and go, or both (XEP-0248 §6.1). */
  readonly type: 'items' | 'nodes' | 'all'
  /** How many collections may be in between, and one more. */
  readonly depth: number | 'all'
}

const TYPES = ['items', 'nodes', 'all'] as const

/** What holds for a subscriber who said nothing. */
export const DEFAULT_OPTIONS: SubscriptionOptions = { deliver: true, type: 'nodes', depth: 1 }

/** The form of these options; those of collections are asked for there only. */
export const optionsForm = (
  type: 'form' | 'result',
  { deliver, expiresAtMs, type: what, depth }: SubscriptionOptions,
  isCollection: boolean,
): DataForm => {
  const fields: Field[] = [
    formTypeField(FORM_TYPE),
    { var: 'pubsub#deliver', type: 'boolean', label: 'Tell me what happens', values: [deliver ? '1' : '0'] },
    {
      var: 'pubsub#expire',
      type: 'text-single',
      label: 'When the subscription ends',
      values: expiresAtMs === undefined ? [] : [formatDateTime(expiresAtMs)],
    },
  ]
  if (isCollection)
    fields.push(
      {
        var: 'pubsub#subscription_type',
        type: 'list-single',
        label: 'What to tell me of',
        values: [what],
        options: [
          { value: 'items', label: 'Items of its nodes' },
          { value: 'nodes', label: 'Nodes that come and go' },
          { value: 'all', label: 'Both' },
        ],
      },
      {
        var: 'pubsub#subscription_depth',
        type: 'text-single',
        label: 'How deep: 1 for the nodes in it, 2 also for those in collections in it, all for any',
        values: [String(depth)],
      },
    )
  return { type, fields }
}

/** Reads a submitted form over what held before; a value that is not offered is refused (XEP-0060 §6.3.6.2). */
export const readOptions = (form: DataForm, before: SubscriptionOptions, nowMs: number): SubscriptionOptions => {
  const formType = formTypeOf(form)
  if (form.type !== 'submit' || (formType !== undefined && formType !== FORM_TYPE)) throw invalid()
  let options = before
  for (const { var: name, values } of form.fields) {
    const value = values[0]?.trim() ?? ''
    switch (name) {
      case 'pubsub#deliver':
        options = { ...options, deliver: booleanIn(value) ?? fail() }
        break
      case 'pubsub#expire':
        options = { ...options, expiresAtMs: value === '' ? undefined : leaseUntil(value, nowMs) }
        break
      case 'pubsub#subscription_type':
        options = { ...options, type: TYPES.find((each) => each === value) ?? fail() }
        break
      case 'pubsub#subscription_depth':
        options = { ...options, depth: value === 'all' ? value : /^\d{1,6}$/.test(value) ? Number(value) : fail() }
        break
      case 'pubsub#digest':
      case 'pubsub#include_body':
        // Clients send back what they know, switched off; what is not done must not be asked for.
        if (booleanIn(value) !== false) throw invalid()
        break
      case 'pubsub#show-values':
        throw invalid()
      default:
      // XEP-0004 §3.1: fields that are not understood are ignored.
    }
  }
  return options
}

const leaseUntil = (text: string, nowMs: number): number => {
  const atMs = parseDateTime(text)
  if (atMs === undefined || atMs <= nowMs) throw invalid()
  return atMs
}

const invalid = (): StanzaError => refusal('bad-request', 'invalid-options')
const fail = (): never => {
  throw invalid()
}
