import type { Address, BareJid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import {
  type Affiliation,
  type HostLimits,
  type HostProfile,
  type NodeConfig,
  type NodeFacts,
  type Offer,
  USUAL_CONFIG,
} from '../pubsub.ts'

/** XEP-0163 §5. */
const defaultsWith = (limits: HostLimits): NodeConfig => ({
  ...USUAL_CONFIG,
  accessModel: 'presence',
  // What is published takes the place of what was: a mood, a tune.
  maxItems: 1,
  maxPayloadBytes: limits.payloadBytes,
})

/** What the accounts of this server have in common as owners of nodes. */
export interface AccountRules {
  readonly limits: HostLimits
  readonly defaults: NodeConfig
  /** Of nodes whose name says what they are for. */
  readonly defaultsOf: Map<string, NodeConfig>
  readonly implicitSubscribers: HostProfile['implicitSubscribers']
  readonly offer: (node: NodeFacts, event: Stanza, offers: readonly Offer[]) => void
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

  offer(node: NodeFacts, event: Stanza, offers: readonly Offer[]): void {
    this.#rules.offer(node, event, offers)
  }

  /** XEP-0163 §4.3.3 */
  withholdsFrom(subscriber: Address): boolean | Promise<boolean> {
    return this.#rules.hasBlocked(this.address.bare, subscriber)
  }
}
