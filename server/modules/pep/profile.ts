import type { Address, BareJid } from '#stanzas/jid.ts'
import type { Affiliation, HostLimits, HostProfile, NodeConfig, NodeFacts } from '../pubsub.ts'

/** XEP-0163 §5; of the rest, what asks least of a client that never configures anything. */
const defaultsWith = (limits: HostLimits): NodeConfig => ({
  nodeType: 'leaf',
  title: '',
  description: '',
  language: '',
  payloadType: '',
  contacts: [],
  accessModel: 'presence',
  rosterGroups: [],
  publishModel: 'publishers',
  isSubscribable: true,
  persistItems: true,
  // What is published takes the place of what was: a mood, a tune.
  maxItems: 1,
  itemExpire: 'max',
  whenFull: 'retract-oldest',
  maxPayloadBytes: limits.payloadBytes,
  deliverNotifications: true,
  deliverPayloads: true,
  notifyConfig: false,
  notifyDelete: true,
  notifyRetract: true,
  notifySub: false,
  sendLast: 'on_sub_and_presence',
  presenceBasedDelivery: false,
  itemReply: 'none',
  notificationType: 'headline',
  collections: [],
  childrenPolicy: 'owners',
  childrenWhitelist: [],
  childrenMax: 'max',
})

/** What the accounts of this server have in common as owners of nodes. */
export interface AccountRules {
  readonly limits: HostLimits
  readonly defaults: NodeConfig
  /** Of nodes whose name says what they are for. */
  readonly defaultsOf: Map<string, NodeConfig>
  readonly implicitSubscribers: HostProfile['implicitSubscribers']
  readonly hasBlocked: (account: BareJid, address: Address) => boolean | Promise<boolean>
}

/** The rules for every account. */
export const rulesWith = (rules: Omit<AccountRules, 'defaults' | 'defaultsOf'>): AccountRules => ({
  ...rules,
  defaults: defaultsWith(rules.limits),
  defaultsOf: new Map(),
})

/** An account as the owner of nodes (XEP-0163 §2.1). */
export class AccountProfile implements HostProfile {
  readonly address: Address
  readonly #rules: AccountRules
  /** XEP-0163 §3 */
  readonly autoCreates = true

  constructor(address: Address, rules: AccountRules) {
    this.address = address
    this.#rules = rules
  }

  get limits(): HostLimits {
    return this.#rules.limits
  }

  defaultsFor(node: string | undefined): NodeConfig {
    return (node === undefined ? undefined : this.#rules.defaultsOf.get(node)) ?? this.#rules.defaults
  }

  mayCreate(asker: Address): boolean {
    return asker.bare === this.address.bare
  }

  /** XEP-0163 §2.2 */
  affiliationOf(asker: BareJid): Affiliation | undefined {
    return asker === this.address.bare ? 'owner' : undefined
  }

  implicitSubscribers(node: NodeFacts): readonly Address[] | Promise<readonly Address[]> {
    return this.#rules.implicitSubscribers(node)
  }

  /** XEP-0163 §4.3.3 */
  withholdsFrom(subscriber: Address): boolean | Promise<boolean> {
    return this.#rules.hasBlocked(this.address.bare, subscriber)
  }
}
