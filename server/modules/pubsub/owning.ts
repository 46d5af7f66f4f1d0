import { newId } from '#server/base/random.ts'
import { formElement } from '#stanzas/data-form.ts'
import { el } from '#stanzas/element.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { NS_PUBSUB_EVENT } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { affiliationOf, requireOwner } from './access.ts'
import type { HostProfile, NodeFacts } from './api.ts'
import { overflow, removals, roomOf } from './changes.ts'
import { checkConfig, configForm } from './config-form.ts'
import { type Contents, isOver } from './contents.ts'
import { checkAssociation, makingNode } from './creation.ts'
import { refusal } from './errors.ts'
import type { Host, Node } from './host.ts'
import type { Affiliation, NodeConfig } from './node-config.ts'
import { storedNode } from './node-store.ts'
import { type Parts, unlessItFails } from './parts.ts'
import { nodeKey } from './stored.ts'
import { type Subscribing, type SubscriptionChange, subscriptionRemoval } from './subscribing.ts'

/** Nodes that one form may put into a collection or take out. */
const MAX_MOVES = 100
/** All nodes are in memory with those who have to do with them: a thousand addresses of usual length, and not of the longest. */
const MAX_AFFILIATION_CHARS = 65_536

/** A change of one affiliation that an owner wants (XEP-0060 §8.9.2). */
export interface AffiliationChange {
  readonly jid: BareJid
  readonly affiliation: Affiliation
}

/** Nodes are made, configured and deleted, and who may do what with them is decided (XEP-0060 §8). */
export class Owning {
  readonly #parts: Parts
  readonly #subscribing: Subscribing

  constructor(parts: Parts, subscribing: Subscribing) {
    this.#parts = parts
    this.#subscribing = subscribing
  }

  /** §8.1; without a name, an instant node. */
  create(profile: HostProfile, wanted: string | undefined, config: Partial<NodeConfig>, by: Address): Promise<NodeFacts> {
    const { nodes, listeners } = this.#parts
    const name = wanted ?? newId()
    return nodes.inTurn(profile.address.bare, name, (host) =>
      makingNode(profile, host, { name, wishes: config, by, nowMs: nodes.clock.nowMs() }, async (facts) => {
        await nodes.write(host, [storedNode(facts)])
        const node = nodes.keep(host, facts)
        nodes.begin(node)
        listeners.tell({ kind: 'created', profile, node: facts, by })
        await this.#parts.notifier.created(profile, node)
        return facts
      }),
    )
  }

  /** §8.2 */
  async config(profile: HostProfile, name: string, by: Address): Promise<NodeConfig> {
    const node = await this.#find(profile, name)
    requireOwner(profile, node.facts, by)
    return node.facts.config
  }

  /** §8.2.4 */
  configure(profile: HostProfile, name: string, change: Partial<NodeConfig>, by: Address): Promise<void> {
    const { nodes, listeners, notifier } = this.#parts
    return this.#inTurn(profile, name, by, async (node, host) => {
      const before = node.facts
      const config: NodeConfig = { ...before.config, ...change }
      // XEP-0248 §7.2.3: a leaf may become a collection, which has no items; never the other way round.
      if (config.nodeType === 'leaf' && before.config.nodeType === 'collection') throw refusal('not-allowed', 'invalid-options')
      checkConfig(config, profile.limits)
      const added = config.collections.filter((each) => !before.config.collections.includes(each))
      const left = before.config.collections.filter((each) => !config.collections.includes(each))
      for (const collection of added) checkAssociation(profile, host, name, collection, by)
      const contents = await nodes.contents(node)
      const gone = noLongerKept(contents, config, roomOf(config, profile))
      const facts = { ...before, config }
      await nodes.write(host, [storedNode(facts), ...removals(name, contents, gone)])
      contents.remove(gone)
      nodes.keep(host, facts)
      if (gone.length > 0) listeners.tell({ kind: 'retracted', profile, node: facts, by, itemIds: gone, evicted: true })
      listeners.tell({ kind: 'configured', profile, node: facts, by })
      await this.#tellCollections(profile, node, added, 'associate')
      await this.#tellCollections(profile, node, left, 'dissociate')
      if (!config.notifyConfig) return
      // §8.2.5.3
      const form = config.deliverPayloads ? formElement(configForm('result', config)) : undefined
      await notifier.changed(profile, node, el(NS_PUBSUB_EVENT, 'configuration', { node: name }, form), { of: 'nodes' })
    })
  }

  /** §8.4 */
  delete(profile: HostProfile, name: string, redirect: string | undefined, by: Address): Promise<void> {
    const { nodes, listeners, notifier } = this.#parts
    return this.#inTurn(profile, name, by, async (node, host) => {
      const contents = await nodes.contents(node)
      const { facts } = node
      await nodes.write(host, [
        { key: nodeKey(name), value: undefined },
        ...removals(name, contents, [...contents.places.keys()]),
        ...[...contents.subscriptions.values()].flatMap(({ address }) => subscriptionRemoval(name, address)),
      ])
      const children = [...host.childrenOf(name)]
      nodes.drop(node)
      listeners.tell({ kind: 'deleted', profile, node: facts, by, redirect })
      if (facts.config.notifyDelete) {
        const to = redirect === undefined ? undefined : el(NS_PUBSUB_EVENT, 'redirect', { uri: redirect })
        const what = el(NS_PUBSUB_EVENT, 'delete', { node: name }, to)
        await notifier.changed(profile, node, what, { of: 'nodes', withPending: true })
      }
      await this.#tellCollections(profile, node, facts.config.collections, 'dissociate')
      for (const child of children) this.#release(profile, child.name, name)
    })
  }

  /** A collection is gone; until its nodes know, they are in none of that name. */
  #release(profile: HostProfile, child: string, collection: string): void {
    const { nodes } = this.#parts
    nodes
      .inTurn(profile.address.bare, child, async (host) => {
        const node = host.nodes.get(child)
        if (node === undefined) return
        const collections = node.facts.config.collections.filter((each) => each !== collection)
        const facts = { ...node.facts, config: { ...node.facts.config, collections } }
        await nodes.write(host, [storedNode(facts)])
        nodes.keep(host, facts)
      })
      .catch((error: unknown) => this.#parts.onFailure(error))
  }

  /** §8.9.1 */
  async affiliations(profile: HostProfile, name: string, by: Address): Promise<NodeFacts['affiliations']> {
    const node = await this.#find(profile, name)
    requireOwner(profile, node.facts, by)
    return node.facts.affiliations
  }

  /** §8.9.2; `refuse` makes the error that says how things stand. */
  setAffiliations(
    profile: HostProfile,
    name: string,
    changes: readonly AffiliationChange[],
    by: Address,
    refuse: (node: NodeFacts) => StanzaError,
  ): Promise<void> {
    const { nodes, limits, listeners } = this.#parts
    return this.#inTurn(profile, name, by, async (node, host) => {
      const affiliations = new Map(node.facts.affiliations)
      for (const { jid, affiliation } of changes) {
        // §8.9.2.4: an account is the owner of its nodes whatever they say.
        if (jid === profile.address.bare && affiliation !== 'owner') throw refuse(node.facts)
        if (affiliation === 'none') affiliations.delete(jid)
        else affiliations.set(jid, affiliation)
      }
      const hasOwner = profile.address.localpart !== '' || [...affiliations.values()].includes('owner')
      if (!hasOwner) throw refuse(node.facts)
      if (affiliations.size > limits.affiliationsPerNode || charsOf(affiliations.keys()) > MAX_AFFILIATION_CHARS)
        throw new StanzaError('resource-constraint')
      const facts = { ...node.facts, affiliations }
      await nodes.write(host, [storedNode(facts)])
      nodes.keep(host, facts)
      listeners.tell({ kind: 'configured', profile, node: facts, by })
      await this.#settle(profile, node, changes)
    })
  }

  /** §8.7.4: a new affiliation answers a request that waits. */
  async #settle(profile: HostProfile, node: Node, changes: readonly AffiliationChange[]): Promise<void> {
    const contents = await this.#parts.nodes.contents(node)
    const settled: SubscriptionChange[] = []
    const changed = new Map(changes.map(({ jid, affiliation }) => [jid, affiliation]))
    for (const { address, state } of contents.subscriptions.values()) {
      const affiliation = changed.get(address.bare)
      if (affiliation === 'outcast') settled.push({ address, state: 'none' })
      else if (state === 'pending' && (affiliation === 'owner' || affiliation === 'publisher' || affiliation === 'member'))
        settled.push({ address, state: 'subscribed' })
    }
    if (settled.length > 0) await this.#subscribing.change(profile, node, contents, settled)
  }

  /** §8.8.1: those who are subscribed. */
  async subscribers(profile: HostProfile, name: string, by: Address): Promise<readonly Address[]> {
    const node = await this.#find(profile, name)
    requireOwner(profile, node.facts, by)
    const { subscriptions } = await this.#parts.nodes.contents(node)
    const nowMs = this.#parts.nodes.clock.nowMs()
    return [...subscriptions.values()].flatMap((each) =>
      each.state === 'subscribed' && !isOver(each, nowMs) ? [each.address] : [],
    )
  }

  /** §8.8.2 */
  setSubscriptions(profile: HostProfile, name: string, changes: readonly SubscriptionChange[], by: Address): Promise<void> {
    return this.#inTurn(profile, name, by, async (node) =>
      this.#subscribing.change(profile, node, await this.#parts.nodes.contents(node), changes),
    )
  }

  /** XEP-0248 §7.4, §7.5: puts a node into a collection, or takes it out. */
  async associate(profile: HostProfile, collection: string, child: string, by: Address, isIn: boolean): Promise<void> {
    const above = await this.#find(profile, collection)
    const { config } = (await this.#find(profile, child)).facts
    const others = config.collections.filter((each) => each !== collection)
    if (isIn) return this.configure(profile, child, { collections: [...others, collection] }, by)
    if (others.length === config.collections.length) throw new StanzaError('bad-request')
    // Who owns the collection says what is in it.
    const isOwner = affiliationOf(profile, above.facts, by.bare) === 'owner'
    return this.configure(profile, child, { collections: others }, isOwner ? profile.address : by)
  }

  /** The names of a collection's nodes (XEP-0248 §7.2). */
  async children(profile: HostProfile, collection: string): Promise<readonly string[]> {
    return [...(await this.#find(profile, collection)).host.childrenOf(collection)].map(({ name }) => name)
  }

  /** Looks whether these may be the nodes of a collection (XEP-0248 §7.2); gives what makes them so. */
  async replaceChildren(
    profile: HostProfile,
    collection: string,
    children: readonly string[],
    by: Address,
  ): Promise<() => Promise<void>> {
    const above = await this.#find(profile, collection)
    requireOwner(profile, above.facts, by)
    const [before, wanted] = [new Set(await this.children(profile, collection)), new Set(children)]
    const added = [...wanted].filter((child) => !before.has(child))
    const left = [...before].filter((child) => !wanted.has(child))
    // Each is a change of a node, which its subscribers are told of.
    if (added.length + left.length > MAX_MOVES)
      throw new StanzaError('not-acceptable', { text: `at most ${MAX_MOVES} nodes come and go at once` })
    for (const child of added) {
      requireOwner(profile, (await this.#find(profile, child)).facts, by)
      checkAssociation(profile, above.host, child, collection, by)
    }
    const { childrenMax } = above.facts.config
    if (childrenMax !== 'max' && children.length > childrenMax) throw refusal('not-allowed', 'max-nodes-exceeded')
    return async () => {
      for (const child of left) await this.associate(profile, collection, child, by, false)
      for (const child of added) await this.associate(profile, collection, child, by, true)
    }
  }

  /** Takes everything from an account that is gone. */
  async forget(profile: HostProfile, account: BareJid): Promise<void> {
    const { nodes } = this.#parts
    for (const { name, facts } of [...(await nodes.host(profile.address.bare)).nodes.values()]) {
      if (!facts.affiliations.has(account)) continue
      await unlessItFails(this.#parts, () =>
        nodes.inTurn(profile.address.bare, name, async (host) => {
          const node = host.nodes.get(name)
          if (node === undefined) return
          const affiliations = new Map(node.facts.affiliations)
          affiliations.delete(account)
          const changed = { ...node.facts, affiliations }
          await nodes.write(host, [storedNode(changed)])
          nodes.keep(host, changed)
        }),
      )
    }
  }

  async #tellCollections(
    profile: HostProfile,
    node: Node,
    collections: readonly string[],
    how: 'associate' | 'dissociate',
  ): Promise<void> {
    for (const collection of collections) {
      const above = node.host.nodes.get(collection)
      if (above !== undefined) await this.#parts.notifier.associated(profile, node.name, above, how)
    }
  }

  async #find(profile: HostProfile, name: string): Promise<Node> {
    const node = (await this.#parts.nodes.host(profile.address.bare)).nodes.get(name)
    if (node === undefined) throw new StanzaError('item-not-found')
    return node
  }

  #inTurn<T>(profile: HostProfile, name: string, by: Address, task: (node: Node, host: Host) => Promise<T>): Promise<T> {
    return this.#parts.nodes.inTurn(profile.address.bare, name, (host) => {
      const node = host.nodes.get(name)
      if (node === undefined) throw new StanzaError('item-not-found')
      requireOwner(profile, node.facts, by)
      return task(node, host)
    })
  }
}

const charsOf = (texts: Iterable<string>): number => {
  let chars = 0
  for (const { length } of texts) chars += length
  return chars
}

/** Items that a changed configuration leaves no room for. */
const noLongerKept = (contents: Contents, config: NodeConfig, room: number): readonly string[] =>
  config.persistItems && config.nodeType === 'leaf' ? overflow(contents.places, new Set(), [], room) : [...contents.places.keys()]
