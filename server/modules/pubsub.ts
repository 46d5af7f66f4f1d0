import { bytes, choice, integer, text } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { defineModule, type IqRequest, onGet, onSet } from '#server/core/module.ts'
import { discoInfoElement } from '#stanzas/disco-info.ts'
import { type Element, el } from '#stanzas/element.ts'
import { makeJid, parseJid } from '#stanzas/jid.ts'
import { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PUBSUB, NS_PUBSUB_OWNER } from '#stanzas/namespaces.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'
import { disco } from './disco.ts'
import { Access } from './pubsub/access.ts'
import { makeEngine } from './pubsub/engine.ts'
import { Listeners } from './pubsub/listeners.ts'
import { NodeStore } from './pubsub/node-store.ts'
import { Notifier } from './pubsub/notifier.ts'
import { SERVICE_FEATURES, ServiceProfile } from './pubsub/service.ts'
import type { Stored } from './pubsub/stored.ts'
import { roster } from './roster.ts'

export type {
  Draft,
  HostLimits,
  HostProfile,
  Item,
  NodeFacts,
  Offer,
  Publication,
  PublishGuard,
  PublishOptions,
  PubsubApi,
  PubsubEvent,
  PubsubListener,
} from './pubsub/api.ts'
export { ENGINE_FEATURES, featuresOf } from './pubsub/features.ts'
export {
  type AccessModel,
  type Affiliation,
  type NodeConfig,
  type PublishModel,
  type SendLast,
  USUAL_CONFIG,
} from './pubsub/node-config.ts'

/** Nodes, and places of items and subscriptions, that stay in memory: some 50 MB when all are used. */
const MEMORY = { nodes: 50_000, entries: 250_000 }

/** Publish-subscribe: the engine of every node, and the service that has nodes at its own domain. */
export const pubsub = defineModule({
  name: 'pubsub',
  summary:
    'Keeps nodes to which items are published, tells subscribers of them, and offers nodes to everybody at a domain of its own.',
  xeps: { 'XEP-0060': '1.30.0', 'XEP-0248': '0.4.0' },
  config: {
    subdomain: text({
      default: 'pubsub',
      doc: 'The label in front of the served domain that makes the address of the service.',
      rule: { accepts: 'a label of a domain name', test: (label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label) },
    }),
    name: text({ default: 'Nodes', doc: 'The name by which clients show the service.' }),
    creators: choice(['accounts', 'admins'], {
      default: 'accounts',
      doc: 'Who may make nodes at the service: every account of this server, or administrators only.',
    }),
    maxNodes: integer({ default: 10_000, min: 1, doc: 'How many nodes the service may have.' }),
    maxNodesPerAccount: integer({
      default: 200,
      min: 1,
      doc: 'How many of them one account may make; administrators may make all.',
    }),
    maxItems: integer({
      default: 1_000,
      min: 1,
      doc: 'How many items a node of the service may keep; what `max` means to clients.',
    }),
    maxPayload: bytes('64 KiB', { min: '1 KiB', doc: 'How large an item of the service may be.' }),
    maxSubscriptionsPerNode: integer({ default: 10_000, min: 1, doc: 'How many may be subscribed to a node.' }),
    maxSubscriptionsPerSubscriber: integer({
      default: 1_000,
      min: 1,
      doc: 'How many subscriptions an account may have at the service, or at the nodes of another account.',
    }),
    maxAffiliations: integer({
      default: 1_000,
      min: 1,
      doc: 'How many owners, publishers, members and outcasts a node may have.',
    }),
  },
  stores: { nodes: documents<Stored>() },
  needs: { roster, disco },

  start({ config, stores, needs, domain, host, router, sessions, clock, log, isHere, callHome, tellHome }) {
    const address = makeJid('', `${config.subdomain}.${domain.domainpart}`)
    if (address === undefined) throw new Error(`${config.subdomain}.${domain.domainpart} is no domain`)
    const nodes = new NodeStore(stores.nodes, clock, MEMORY)
    const access = new Access(needs.roster, (jid) => router.isLocal(jid))
    const notifier = new Notifier({
      nodes,
      access,
      router,
      sessions,
      isElsewhere: (to) => !isHere(to.bare) && router.isLocal(to) && to.localpart !== '',
      sendIfAvailable: (event, to) => tellHome(to.bare, 'pubsub.available', toText(event.restamp({ to }).wire)),
      onFailure: ({ owner, name }, error) => log.warn('subscribers-not-told', { owner, node: name, error }),
    })
    const parts = {
      nodes,
      access,
      notifier,
      listeners: new Listeners(({ kind, node: { owner, name } }, error) =>
        log.error('node-listener-failed', { event: kind, owner, node: name, error }),
      ),
      limits: {
        subscriptionsPerNode: config.maxSubscriptionsPerNode,
        subscriptionsPerSubscriber: config.maxSubscriptionsPerSubscriber,
        affiliationsPerNode: config.maxAffiliations,
      },
      onFailure: (error: unknown) => log.warn('node-not-tidied', { error }),
    }
    const { api, subscribing, owning } = makeEngine(parts, router)

    const limits = {
      nodes: config.maxNodes,
      nodesPerCreator: config.maxNodesPerAccount,
      itemsPerNode: config.maxItems,
      payloadBytes: config.maxPayload,
    }
    const profile = new ServiceProfile(address, limits, {
      admins: host.admins,
      mayCreate: (asker) => config.creators === 'accounts' && router.isLocal(asker) && asker.localpart !== '',
    })
    needs.disco.addItem(address, config.name)

    const info = discoInfoElement({
      identities: [{ category: 'pubsub', type: 'service', name: config.name }],
      features: SERVICE_FEATURES,
      forms: [],
    })
    const discoInfo = async ({ payload, fromAddress }: IqRequest): Promise<Element> => {
      const { node } = payload.attrs
      return node === undefined ? info : discoInfoElement(await api.nodeInfo(profile, node, fromAddress), node)
    }
    const discoItems = async ({ payload, fromAddress }: IqRequest): Promise<Element> => {
      const { node } = payload.attrs
      return el(NS_DISCO_ITEMS, 'query', { node }, ...(await api.discoItems(profile, node, fromAddress)))
    }
    const handle = (request: IqRequest): Promise<Element | undefined> => api.handle(profile, request)

    return {
      api,
      services: [
        {
          address,
          iq: [
            onGet(NS_PUBSUB, 'pubsub', 'server', handle),
            onSet(NS_PUBSUB, 'pubsub', 'server', handle),
            onGet(NS_PUBSUB_OWNER, 'pubsub', 'server', handle),
            onSet(NS_PUBSUB_OWNER, 'pubsub', 'server', handle),
            onGet(NS_DISCO_INFO, 'query', 'server', discoInfo),
            onGet(NS_DISCO_ITEMS, 'query', 'server', discoItems),
          ],
          message({ stanza, from }) {
            // XEP-0060 §12.4: an event that could not be delivered is read from the node.
            return stanza.type === 'error' ? undefined : subscribing.answered(profile, from, stanza)
          },
        },
      ],
      hooks: [
        observe('session-available', async ({ session }) => void (await callHome(address.bare, 'pubsub.came', session.jid))),
        observe('account-deleted', async ({ account }) => {
          await nodes.deleteOwner(account)
          await callHome(address.bare, 'pubsub.gone', account)
        }),
        observe('account-left', ({ account }) => {
          nodes.leave(account)
          if (account === address.bare) subscribing.leave()
        }),
      ],
      // The service has a home like an account: its nodes are in the memory of one process.
      calls: [
        {
          name: 'came',
          async handle(_, comer): Promise<undefined> {
            const to = parseJid(comer)
            if (to !== undefined) await subscribing.cameOnline(profile, to)
          },
        },
        {
          name: 'gone',
          async handle(_, gone): Promise<undefined> {
            const account = parseJid(gone)?.bare
            if (account === undefined) return
            await subscribing.forget(profile, account)
            await owning.forget(profile, account)
          },
        },
        {
          name: 'available',
          handle(_, event): undefined {
            const stanza = parseStanza(toWire(event))
            if (stanza.to !== undefined && notifier.isAvailable(stanza.to)) router.route(stanza)
          },
        },
      ],
    }
  },
})
