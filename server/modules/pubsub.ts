import { defineModule } from '#server/core/module.ts'
import type { PubsubApi } from './pubsub/api.ts'
import { roster } from './roster.ts'

export type {
  Draft,
  HostLimits,
  HostProfile,
  Item,
  NodeFacts,
  Publication,
  PublishGuard,
  PublishOptions,
  PubsubApi,
  PubsubEvent,
  PubsubListener,
} from './pubsub/api.ts'
export type { AccessModel, Affiliation, NodeConfig, PublishModel, SendLast } from './pubsub/node-config.ts'

/** Publish-subscribe: the engine of every node, and the service that has nodes at its own domain. */
export const pubsub = defineModule({
  name: 'pubsub',
  summary: 'Keeps nodes to which items are published and tells subscribers of them.',
  needs: { roster },

  start(): { readonly api: PubsubApi } {
    throw new Error('the engine is not written yet')
  },
})
