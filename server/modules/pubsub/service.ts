import type { Address, BareJid } from '#stanzas/jid.ts'
import { NS_DISCO_INFO, NS_DISCO_ITEMS } from '#stanzas/namespaces.ts'
import type { HostLimits, HostProfile } from './api.ts'
import { ENGINE_FEATURES, featuresOf } from './features.ts'
import { type Affiliation, type NodeConfig, USUAL_CONFIG } from './node-config.ts'

/** What the service is and does. */
export const SERVICE_FEATURES: readonly string[] = [
  NS_DISCO_INFO,
  NS_DISCO_ITEMS,
  ...ENGINE_FEATURES,
  // XEP-0248 has both names.
  ...featuresOf(['multi-collection', 'multi-collections']),
]

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
    this.#defaults = { ...USUAL_CONFIG, maxPayloadBytes: limits.payloadBytes }
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
