import type { Address } from '#stanzas/jid.ts'
import type { Draft, HostProfile, Item } from './api.ts'
import type { Host } from './host.ts'
import type { NodeConfig } from './node-config.ts'

/** What is published, by whom and on which conditions. */
export interface PublishRequest {
  readonly name: string
  readonly drafts: readonly Draft[]
  readonly by: Address
  /** XEP-0060 §7.1.5 */
  readonly wanted: Partial<NodeConfig> | undefined
  /** Whether a node that is not there is made. */
  readonly creates: boolean
}

/** A request to publish that waits for its turn, and whoever waits for it. */
export interface PublishPart {
  readonly profile: HostProfile
  readonly request: PublishRequest
  /** The owner's nodes as they were known when it came. */
  readonly host: Host | Promise<Host>
  resolve(items: readonly Item[]): void
  reject(error: unknown): void
}

/** A draft that is an item now. */
export interface Prepared {
  readonly item: Item
  readonly text: string | undefined
}
