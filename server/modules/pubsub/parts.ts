import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Access } from './access.ts'
import type { Listeners } from './listeners.ts'
import type { NodeStore } from './node-store.ts'
import type { Notifier } from './notifier.ts'

/** One node that cannot be tidied must not keep others from it. */
export const unlessItFails = async ({ onFailure }: Pick<Parts, 'onFailure'>, tidy: () => Promise<unknown>): Promise<void> => {
  try {
    await tidy()
  } catch (error) {
    // A node that is gone meanwhile is tidy.
    if (!(error instanceof StanzaError && error.condition === 'item-not-found')) onFailure(error)
  }
}

/** Limits that are the same for every host. */
export interface EngineLimits {
  readonly subscriptionsPerNode: number
  readonly subscriptionsPerSubscriber: number
  readonly affiliationsPerNode: number
}

/** What the parts of the engine share. */
export interface Parts {
  readonly nodes: NodeStore
  readonly access: Access
  readonly notifier: Notifier
  readonly listeners: Listeners
  readonly limits: EngineLimits
  /** Of work that nobody waits for. */
  readonly onFailure: (error: unknown) => void
}
