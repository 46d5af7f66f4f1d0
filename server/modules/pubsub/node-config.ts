/** Who may subscribe to a node and read it (XEP-0060 §4.5). */
export type AccessModel = 'open' | 'presence' | 'roster' | 'authorize' | 'whitelist'
/** Who may publish to a node besides its owners and publishers (XEP-0060 §16.4.4). */
export type PublishModel = 'publishers' | 'subscribers' | 'open'
/** What an entity may do at a node (XEP-0060 §4.1), best first. */
export type Affiliation = 'owner' | 'publisher' | 'publish-only' | 'member' | 'none' | 'outcast'
/** When a subscriber is sent the last item (XEP-0060 §16.4.4). */
export type SendLast = 'never' | 'on_sub' | 'on_sub_and_presence'

/** How a node behaves (XEP-0060 §16.4.4); the fields that only describe it are '' or empty when they say nothing. */
export interface NodeConfig {
  readonly nodeType: 'leaf' | 'collection'
  readonly title: string
  readonly description: string
  readonly language: string
  /** `pubsub#type`, usually the namespace of the payloads. */
  readonly payloadType: string
  readonly contacts: readonly string[]
  readonly accessModel: AccessModel
  readonly rosterGroups: readonly string[]
  readonly publishModel: PublishModel
  /** Whether anybody may subscribe. */
  readonly isSubscribable: boolean
  readonly persistItems: boolean
  /** `max`: as many as the host allows. */
  readonly maxItems: number | 'max'
  /** Seconds; `max`: for ever. */
  readonly itemExpire: number | 'max'
  readonly whenFull: 'retract-oldest' | 'discard-oldest' | 'reject'
  readonly maxPayloadBytes: number
  readonly deliverNotifications: boolean
  readonly deliverPayloads: boolean
  readonly notifyConfig: boolean
  readonly notifyDelete: boolean
  readonly notifyRetract: boolean
  readonly notifySub: boolean
  readonly sendLast: SendLast
  readonly presenceBasedDelivery: boolean
  readonly itemReply: 'none' | 'owner' | 'publisher'
  readonly notificationType: 'normal' | 'headline'
  /** The collections it is in (XEP-0248 §5.1). */
  readonly collections: readonly string[]
  /** Who may put nodes into this collection. */
  readonly childrenPolicy: 'all' | 'owners' | 'whitelist'
  readonly childrenWhitelist: readonly string[]
  readonly childrenMax: number | 'max'
}

/** How a node behaves unless its host or its creator says otherwise. */
export const USUAL_CONFIG: Omit<NodeConfig, 'maxPayloadBytes'> = {
  nodeType: 'leaf',
  title: '',
  description: '',
  language: '',
  payloadType: '',
  contacts: [],
  accessModel: 'open',
  rosterGroups: [],
  publishModel: 'publishers',
  isSubscribable: true,
  persistItems: true,
  maxItems: 'max',
  itemExpire: 'max',
  whenFull: 'retract-oldest',
  deliverNotifications: true,
  deliverPayloads: true,
  notifyConfig: false,
  notifyDelete: true,
  notifyRetract: true,
  notifySub: false,
  // XEP-0060 §4.3: who can send the last item does so unless told otherwise.
  sendLast: 'on_sub_and_presence',
  presenceBasedDelivery: false,
  itemReply: 'none',
  // §12.7: what was missed is read from the node; it need not wait in the ledger.
  notificationType: 'headline',
  collections: [],
  childrenPolicy: 'owners',
  childrenWhitelist: [],
  childrenMax: 'max',
}
