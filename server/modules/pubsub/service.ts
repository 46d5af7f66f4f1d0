import type { Address, BareJid } from '#stanzas/jid.ts'
import { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PUBSUB } from '#stanzas/namespaces.ts'
import type { HostLimits, HostProfile } from './api.ts'
import type { Affiliation, NodeConfig } from './node-config.ts'

/** What the service does of XEP-0060 §10 and XEP-0248 §9. */
export const SERVICE_FEATURES: readonly string[] = [
  NS_DISCO_INFO,
  NS_DISCO_ITEMS,
  NS_PUBSUB,
  ...[
    'access-open',
    'collections',
    'config-node',
    'config-node-max',
    'create-and-configure',
    'create-nodes',
    'delete-items',
    'delete-nodes',
    'instant-nodes',
    'item-ids',
    'last-published',
    'leased-subscription',
    'manage-subscriptions',
    'member-affiliation',
    'meta-data',
    'modify-affiliations',
    // XEP-0248 has both names.
    'multi-collection',
    'multi-collections',
    'multi-items',
    'outcast-affiliation',
    'persistent-items',
    'presence-notifications',
    'publish',
    'publish-node-full',
    'publish-only-affiliation',
    'publish-options',
    'publisher-affiliation',
    'purge-nodes',
    'retract-items',
    'retrieve-affiliations',
    'retrieve-default',
    'retrieve-default-sub',
    'retrieve-items',
    'retrieve-subscriptions',
    'rsm',
    'subscribe',
    'subscription-notifications',
    'subscription-options',
  ].map((feature) => `${NS_PUBSUB}#${feature}`),
]

/** How a node of the service behaves unless its creator says otherwise. */
const DEFAULTS: NodeConfig = {
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
  maxPayloadBytes: 0,
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

/** The nodes at the service's own domain: those who may make them own what they made, and administrators own all. */
export class ServiceProfile implements HostProfile {
  readonly address: Address
  readonly limits: HostLimits
  readonly autoCreates = false
  readonly #defaults: NodeConfig
  readonly #admins: ReadonlySet<BareJid>
  readonly #mayCreate: (asker: Address) => boolean

  constructor(
    address: Address,
    limits: HostLimits,
    { admins, mayCreate }: { readonly admins: ReadonlySet<BareJid>; readonly mayCreate: (asker: Address) => boolean },
  ) {
    this.address = address
    this.limits = limits
    this.#defaults = { ...DEFAULTS, maxPayloadBytes: limits.payloadBytes }
    this.#admins = admins
    this.#mayCreate = mayCreate
  }

  defaultsFor(): NodeConfig {
    return this.#defaults
  }

  mayCreate(asker: Address): boolean {
    return this.#mayCreate(asker)
  }

  affiliationOf(asker: BareJid): Affiliation | undefined {
    return this.#admins.has(asker) ? 'owner' : undefined
  }

  implicitSubscribers(): readonly Address[] {
    return []
  }
}
