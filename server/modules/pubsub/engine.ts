import type { Router } from '#server/core/router.ts'
import { type Address, type Jid, parseJid } from '#stanzas/jid.ts'
import type { HostProfile, NodeFacts, PubsubApi } from './api.ts'
import { Discovery } from './discovery.ts'
import type { Host, Node } from './host.ts'
import type { NodeStore } from './node-store.ts'
import { Owning } from './owning.ts'
import type { Parts } from './parts.ts'
import { Publishing } from './publishing.ts'
import { Reading } from './reading.ts'
import { Requests } from './requests.ts'
import { Subscribing } from './subscribing.ts'

/** Everything of XEP-0060 for any host, by its parts. */
export interface Engine {
  readonly api: PubsubApi
  readonly subscribing: Subscribing
  readonly owning: Owning
}

/** Puts the engine together. */
export const makeEngine = (parts: Parts, router: Router): Engine => {
  const { nodes, access, notifier, listeners } = parts
  const publishing = new Publishing(parts)
  const reading = new Reading(parts, (profile, node) => {
    publishing.expire(profile, node).catch((error: unknown) => parts.onFailure(error))
  })
  const subscribing = new Subscribing(parts, router, (node, contents) => reading.last(node, contents))
  const owning = new Owning(parts, subscribing)
  const discovery = new Discovery(parts, reading)
  const requests = new Requests(parts, { publishing, reading, subscribing, owning })

  const sendLast = (profile: HostProfile, { owner, name }: NodeFacts, to: Address): void | Promise<void> => {
    const host = nodes.host(owner)
    if (host instanceof Promise) return host.then(({ nodes: all }) => sendLastOf(profile, all.get(name), to))
    return sendLastOf(profile, host.nodes.get(name), to)
  }
  const sendLastOf = async (profile: HostProfile, node: Node | undefined, to: Address): Promise<void> => {
    if (node === undefined) return
    const { sendLast: when, deliverNotifications, nodeType } = node.facts.config
    if (when === 'never' || !deliverNotifications || nodeType !== 'leaf') return
    const contents = await nodes.contents(node)
    const verdict = await access.mayRead(profile, node.facts, to, () => contents.isSubscribed(to, nodes.clock.nowMs()))
    if (verdict !== undefined) return
    const item = await reading.last(node, contents)
    if (item !== undefined) notifier.last(profile, node.facts, item, to)
  }

  const api: PubsubApi = {
    handle: (profile, request) => requests.handle(profile, request),
    nodeInfo: (profile, node, asker) => discovery.nodeInfo(profile, node, asker),
    discoItems: (profile, node, asker) => discovery.items(profile, node, asker),
    nodes(owner) {
      const host = nodes.host(owner)
      const list = ({ nodes: all }: Host): readonly NodeFacts[] => [...all.values()].map(({ facts }) => facts)
      return host instanceof Promise ? host.then(list) : list(host)
    },
    node(owner, name) {
      const host = nodes.host(owner)
      return host instanceof Promise ? host.then((loaded) => loaded.nodes.get(name)?.facts) : host.nodes.get(name)?.facts
    },
    items: (owner, node, which = {}) => reading.items(owner, node, which),
    mayRead: (profile, node, asker) => mayRead(parts, profile, node, asker),
    createNode: (profile, node, config = {}) => owning.create(profile, node, config, profile.address),
    configure: (profile, node, config) => owning.configure(profile, node, config, profile.address),
    deleteNode: (profile, node) => owning.delete(profile, node, undefined, profile.address),
    purge: (profile, node) => publishing.purge(profile, node, profile.address),
    publish: (profile, name, drafts, { by = profile.address, config, creates = profile.autoCreates } = {}) =>
      publishing.publish(profile, { name, drafts, by, wanted: config, creates }),
    retract: (profile, name, ids, { by = profile.address, notify = false } = {}) =>
      publishing.retract(profile, { name, ids, by, notify, isStrict: false }),
    sendLast,
    answered: (profile, asker, answer) => subscribing.answered(profile, asker, answer),
    endUnentitled: (profile, account) => subscribing.endUnentitled(profile, account),
    deleteOwner: (owner) => nodes.deleteOwner(owner),
    observe: (node, listener) => listeners.observe(node, listener),
    guard: (node, ask) => listeners.guard(node, ask),
  }
  return { api, subscribing, owning }
}

const mayRead = ({ access, nodes }: Parts, profile: HostProfile, facts: NodeFacts, asker: Jid): boolean | Promise<boolean> => {
  const address = parseJid(asker)
  if (address === undefined) return false
  let mustKnow = false
  const verdict = access.mayRead(profile, facts, address, () => {
    mustKnow = true
    return false
  })
  if (verdict instanceof Promise) return verdict.then((refusal) => refusal === undefined)
  return mustKnow ? isSubscribed(nodes, facts, address) : verdict === undefined
}

const isSubscribed = async (nodes: NodeStore, { owner, name }: NodeFacts, address: Address): Promise<boolean> => {
  const node = (await nodes.host(owner)).nodes.get(name)
  return node !== undefined && (await nodes.contents(node)).isSubscribed(address, nodes.clock.nowMs())
}
