import { type DataForm, type Field, type FieldOption, type FieldType, formTypeField, formTypeOf } from '#stanzas/data-form.ts'
import { parseJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { HostLimits } from './api.ts'
import { refusal } from './errors.ts'
import type { NodeConfig } from './node-config.ts'

/** Longest text of a field, and most values of one; what describes a node is small. */
const MAX_TEXT = 1_000
const MAX_VALUES = 100
/** All of it together; it is in memory with every node. */
const MAX_CONFIG = 16_384

type Draft = { -readonly [K in keyof NodeConfig]?: NodeConfig[K] }

/** How one field of the form is written and read. */
interface Rule {
  readonly key: keyof NodeConfig
  readonly var: string
  readonly type: FieldType
  readonly label: string
  readonly options: readonly FieldOption[] | undefined
  /** Whether a collection has it too. */
  readonly isCommon: boolean
  valuesOf(config: NodeConfig): readonly string[]
  /** Whether the values are ones that the field may have; then they are in the draft. */
  readInto(draft: Draft, values: readonly string[]): boolean
}

interface Shown {
  readonly type: FieldType
  readonly label: string
  readonly options?: readonly FieldOption[]
  readonly isCommon?: boolean
}

const rule = <K extends keyof NodeConfig>(
  key: K,
  name: string,
  { type, label, options, isCommon = false }: Shown,
  write: (value: NodeConfig[K]) => readonly string[],
  read: (values: readonly string[]) => NodeConfig[K] | undefined,
): Rule => ({
  key,
  var: `pubsub#${name}`,
  type,
  label,
  options,
  isCommon,
  valuesOf: (config) => write(config[key]),
  readInto(draft, values) {
    const value = read(values)
    if (value === undefined) return false
    const kept: Pick<Draft, K> = draft
    kept[key] = value
    return true
  },
})

type KeysOf<T> = {
  [K in keyof NodeConfig]: NodeConfig[K] extends T ? (T extends NodeConfig[K] ? K : never) : never
}[keyof NodeConfig]

const flag = (key: KeysOf<boolean>, name: string, label: string, isCommon = false): Rule =>
  rule(
    key,
    name,
    { type: 'boolean', label, isCommon },
    (value) => [value ? '1' : '0'],
    ([value]) => (value === '1' || value === 'true' ? true : value === '0' || value === 'false' ? false : undefined),
  )

const word = <K extends keyof NodeConfig>(
  key: K,
  name: string,
  label: string,
  words: readonly (NodeConfig[K] & string)[],
  isCommon = false,
): Rule =>
  rule(
    key,
    name,
    { type: 'list-single', label, isCommon, options: words.map((value) => ({ value })) },
    (value) => [String(value)],
    ([value]) => words.find((each) => each === value),
  )

const text = (key: KeysOf<string>, name: string, label: string): Rule =>
  rule(
    key,
    name,
    { type: 'text-single', label, isCommon: true },
    (value) => (value === '' ? [] : [value]),
    ([value = '']) => (value.length > MAX_TEXT ? undefined : value),
  )

const texts = (key: KeysOf<readonly string[]>, name: string, shown: Shown, normal: (value: string) => string | undefined): Rule =>
  rule(
    key,
    name,
    shown,
    (values) => values,
    (values) => {
      const read = new Set<string>()
      for (const value of values) {
        if (value === '') continue
        const kept = value.length > MAX_TEXT ? undefined : normal(value)
        if (kept === undefined || read.size >= MAX_VALUES) return undefined
        read.add(kept)
      }
      return [...read]
    },
  )
const asIs = (value: string): string => value
const asJid = (value: string): string | undefined => parseJid(value.trim())?.jid

const wholeNumber = (value: string | undefined): number | undefined =>
  value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined

/** XEP-0060 §16.3: `max` means as much as the host allows. */
const amount = (key: KeysOf<number | 'max'>, name: string, label: string, isCommon = false): Rule =>
  rule(
    key,
    name,
    { type: 'text-single', label, isCommon },
    (value) => [String(value)],
    ([value]) => (value === 'max' ? value : wholeNumber(value)),
  )

const RULES: readonly Rule[] = [
  word('nodeType', 'node_type', 'What it holds: items, or other nodes', ['leaf', 'collection'], true),
  text('title', 'title', 'Its name'),
  text('description', 'description', 'What it is about'),
  text('language', 'language', 'Its language'),
  text('payloadType', 'type', 'The namespace of its payloads'),
  texts('contacts', 'contact', { type: 'jid-multi', label: 'Whom to ask about it', isCommon: true }, asJid),
  word(
    'accessModel',
    'access_model',
    'Who may subscribe and read',
    ['open', 'presence', 'roster', 'authorize', 'whitelist'],
    true,
  ),
  texts(
    'rosterGroups',
    'roster_groups_allowed',
    { type: 'text-multi', label: 'Groups of the owner’s contacts who may subscribe and read', isCommon: true },
    asIs,
  ),
  word('publishModel', 'publish_model', 'Who may publish', ['publishers', 'subscribers', 'open']),
  flag('isSubscribable', 'subscribe', 'Whether anybody may subscribe', true),
  flag('persistItems', 'persist_items', 'Whether items are kept'),
  amount('maxItems', 'max_items', 'How many items are kept'),
  amount('itemExpire', 'item_expire', 'After how many seconds an item goes'),
  word('whenFull', 'publish_node_full', 'What happens when one more is published', [
    'retract-oldest',
    'discard-oldest',
    'reject',
  ]),
  rule(
    'maxPayloadBytes',
    'max_payload_size',
    { type: 'text-single', label: 'How many bytes a payload may have' },
    (value) => [String(value)],
    ([value]) => wholeNumber(value),
  ),
  flag('deliverNotifications', 'deliver_notifications', 'Whether subscribers are told of items', true),
  flag('deliverPayloads', 'deliver_payloads', 'Whether they are sent the payload too', true),
  flag('notifyConfig', 'notify_config', 'Whether they are told of changes to this form', true),
  flag('notifyDelete', 'notify_delete', 'Whether they are told when the node is deleted', true),
  flag('notifyRetract', 'notify_retract', 'Whether they are told when items are removed'),
  flag('notifySub', 'notify_sub', 'Whether owners are told of new and former subscribers', true),
  word('sendLast', 'send_last_published_item', 'When the last item is sent', ['never', 'on_sub', 'on_sub_and_presence']),
  flag('presenceBasedDelivery', 'presence_based_delivery', 'Whether only available subscribers are told', true),
  word('itemReply', 'itemreply', 'Whom items name as their publisher', ['none', 'owner', 'publisher']),
  word('notificationType', 'notification_type', 'The type of messages to subscribers', ['normal', 'headline'], true),
  texts('collections', 'collection', { type: 'text-multi', label: 'The collections it is in', isCommon: true }, asIs),
  word('childrenPolicy', 'children_association_policy', 'Who may put nodes into it', ['all', 'owners', 'whitelist'], true),
  texts(
    'childrenWhitelist',
    'children_association_whitelist',
    { type: 'jid-multi', label: 'Those who may put nodes into it', isCommon: true },
    asJid,
  ),
  amount('childrenMax', 'children_max', 'How many nodes may be in it', true),
]
const BY_VAR = new Map(RULES.map((each) => [each.var, each]))
const OF_COLLECTIONS: ReadonlySet<keyof NodeConfig> = new Set(['childrenPolicy', 'childrenWhitelist', 'childrenMax'])

/** Registered fields (XEP-0060 §16.4.4) of what is not done here: they may be switched off, and nothing else. */
const SWITCHED_OFF: ReadonlySet<string> = new Set(['pubsub#purge_offline', 'pubsub#tempsub'])

/** Kept by the nodes in it. */
const CHILDREN = { var: 'pubsub#children', type: 'text-multi', label: 'The nodes in it' } as const

export const NODE_CONFIG = 'http://jabber.org/protocol/pubsub#node_config'
export const PUBLISH_OPTIONS = 'http://jabber.org/protocol/pubsub#publish-options'

/** The form of a node's configuration; a leaf has no fields of collections, and the other way round. */
export const configForm = (type: 'form' | 'result', config: NodeConfig, children: readonly string[] = []): DataForm => {
  const isLeaf = config.nodeType === 'leaf'
  const shown = RULES.filter(({ key, isCommon }) => (isLeaf ? !OF_COLLECTIONS.has(key) : isCommon))
  return {
    type,
    fields: [
      formTypeField(NODE_CONFIG),
      ...shown.map((each): Field => {
        const values = each.valuesOf(config)
        if (type === 'result') return { var: each.var, values }
        return { var: each.var, type: each.type, label: each.label, values, ...(each.options && { options: each.options }) }
      }),
      ...(isLeaf || type === 'result' ? [] : [{ ...CHILDREN, values: children }]),
    ],
  }
}

/** The nodes that a form puts into the collection (XEP-0248 §7.2); `undefined` when it does not say. */
export const childrenIn = (form: DataForm): readonly string[] | undefined => {
  const field = form.fields.find(({ var: name }) => name === CHILDREN.var)
  return field === undefined ? undefined : [...new Set(field.values.filter((value) => value !== ''))]
}

/** Some of the fields of a configuration, by their registered names (XEP-0060 §16.4.3 shares them). */
export const configFields = (config: NodeConfig, keys: readonly (keyof NodeConfig)[]): readonly Field[] =>
  RULES.filter(({ key }) => keys.includes(key)).map((each) => ({
    var: each.var,
    type: each.type,
    label: each.label,
    values: each.valuesOf(config),
  }))

/**
 * Reads a submitted form. Fields of the general form that are not understood are ignored (XEP-0004 §3.1); of publish-options they are refused
 * (XEP-0060 §7.1.5).
 */
export const readConfig = (form: DataForm, formType: string): Partial<NodeConfig> => {
  if (form.type !== 'submit' || formTypeOf(form) !== formType) throw new StanzaError('bad-request')
  const draft: Draft = {}
  for (const field of form.fields) {
    if (field.var === 'FORM_TYPE') continue
    const known = BY_VAR.get(field.var)
    if (known?.readInto(draft, field.values) === true) continue
    // §8.1.2: what there is no model for.
    if (known?.key === 'accessModel') throw refusal('not-acceptable', 'unsupported-access-model')
    const isOff = SWITCHED_OFF.has(field.var)
      ? field.values[0] === '0' || field.values[0] === 'false'
      : known === undefined && formType !== PUBLISH_OPTIONS
    if (!isOff) throw new StanzaError('not-acceptable', { text: `${field.var.slice(0, 100)} cannot be what it should be` })
  }
  return draft
}

/** Refuses a configuration that the host does not allow (XEP-0060 §8.2.5.2). */
export const checkConfig = (config: NodeConfig, limits: HostLimits): void => {
  const refuse = (text: string): never => {
    throw new StanzaError('not-acceptable', { text })
  }
  if (config.maxItems !== 'max' && config.maxItems > limits.itemsPerNode) refuse(`at most ${limits.itemsPerNode} items are kept`)
  if (config.maxItems === 0) refuse('a node that keeps no items does not persist them')
  if (JSON.stringify(config).length > MAX_CONFIG) refuse(`a configuration has at most ${MAX_CONFIG} characters`)
  if (config.maxPayloadBytes > limits.payloadBytes) refuse(`a payload has at most ${limits.payloadBytes} bytes`)
}

const isSame = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b) ? a.length === b.length && a.every((each) => b.includes(each)) : a === b

/** Whether a node is already configured like this (XEP-0060 §7.1.5). */
export const meets = (config: NodeConfig, wanted: Partial<NodeConfig>, limits: HostLimits): boolean =>
  RULES.every(({ key }) => {
    const value = wanted[key]
    if (value === undefined) return true
    // `max` and the number it stands for are the same wish.
    if (key === 'maxItems') return itemLimit(value, limits) === itemLimit(config.maxItems, limits)
    return isSame(config[key], value)
  })

const itemLimit = (value: unknown, { itemsPerNode }: HostLimits): unknown => (value === 'max' ? itemsPerNode : value)
