import { newId } from '#server/base/random.ts'
import { el } from '#stanzas/element.ts'
import type { Address } from '#stanzas/jid.ts'
import { NS_PUBSUB_EVENT } from '#stanzas/namespaces.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toText } from '#stanzas/wire.ts'
import { affiliationOf, requireOwner } from './access.ts'
import type { Draft, HostProfile, Item, NodeFacts } from './api.ts'
import { addition, removals, roomOf } from './changes.ts'
import { meets } from './config-form.ts'
import type { Contents, Place } from './contents.ts'
import { isItemId, makingNode } from './creation.ts'
import { refusal, unsupported } from './errors.ts'
import type { Host, Node } from './host.ts'
import type { NodeConfig } from './node-config.ts'
import { storedNode } from './node-store.ts'
import type { Parts } from './parts.ts'
import type { Prepared, PublishPart, PublishRequest } from './publish-part.ts'
import { type Added, Round } from './round.ts'
import { itemKey } from './stored.ts'
import type { Next } from './turns.ts'

/** What is retracted, and by whom. */
export interface RetractRequest {
  readonly name: string
  readonly ids: readonly string[]
  readonly by: Address
  /** Tells subscribers even where the node is not configured to. */
  readonly notify: boolean
  /** Whether an id that is not there is an error. */
  readonly isStrict: boolean
}

/** A request that is refused, when those before it are settled. */
interface Refused {
  readonly part: PublishPart
  readonly error: unknown
}

/** How many requests are written together. */
const MAX_TOGETHER = 64

/** Items come and go (XEP-0060 §7, §8.5). */
export class Publishing {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  publish(profile: HostProfile, request: PublishRequest): Promise<readonly Item[]> {
    return this.#parts.nodes.publishInTurn(profile, request, this.#work)
  }

  readonly #work = async (next: Next<PublishPart>): Promise<void> => {
    for (let part = next(); part !== undefined; ) part = await this.#goOn(part, next)
  }

  /** Publishes a part, and what can be written with it; gives the first that cannot. */
  async #goOn(part: PublishPart, next: Next<PublishPart>): Promise<PublishPart | undefined> {
    try {
      const host = await part.host
      const node = host.nodes.get(part.request.name)
      if (node !== undefined) return await this.#publishAll(node, part, next)
      part.resolve(await this.#make(host, part))
    } catch (error) {
      part.reject(error)
    }
    return next()
  }

  async #make(host: Host, { profile, request }: PublishPart): Promise<readonly Item[]> {
    const { name, by, wanted, creates } = request
    // §7.1.3.3
    if (!creates) throw new StanzaError('item-not-found')
    const nowMs = this.#parts.nodes.clock.nowMs()
    return makingNode(profile, host, { name, wishes: wanted ?? {}, by, nowMs }, async (facts) => {
      const prepared = await this.#prepare(profile, undefined, facts, request, nowMs)
      return this.#intoNew(profile, host, facts, prepared, by)
    })
  }

  /** What comes while the first is being prepared is written with it, and each is told of in its turn. */
  async #publishAll(node: Node, first: PublishPart, next: Next<PublishPart>): Promise<PublishPart | undefined> {
    const { nodes, listeners } = this.#parts
    const round = new Round(node, await nodes.contents(node))
    const outcomes: (Added | Refused)[] = []
    let part: PublishPart | undefined = first
    do {
      const { profile, request } = part
      try {
        this.#checkRights(profile, node, round.contents, request)
        const prepared = await this.#prepare(profile, node, node.facts, request, nodes.clock.nowMs())
        outcomes.push(round.add(part, prepared, nodes.clock.nowMs()))
      } catch (error) {
        outcomes.push({ part, error })
      }
      part = next()
      // Who is asked before may look at what is there.
    } while (part?.host === first.host && outcomes.length < MAX_TOGETHER && !listeners.isGuarded(node.name))
    await this.#settle(node, round, outcomes)
    return part
  }

  async #settle(node: Node, round: Round, outcomes: readonly (Added | Refused)[]): Promise<void> {
    let failure: unknown
    try {
      await this.#parts.nodes.write(node.host, round.changes)
    } catch (error) {
      failure = error
    }
    for (const outcome of outcomes) {
      const { part } = outcome
      try {
        if ('error' in outcome) throw outcome.error
        if (failure !== undefined) throw failure
        const { prepared, places, gone } = outcome
        part.resolve(await this.#done(part.profile, node, round.contents, prepared, places, gone, part.request.by))
      } catch (error) {
        part.reject(error)
      }
    }
  }

  #checkRights(profile: HostProfile, node: Node, contents: Contents, { by, wanted }: PublishRequest): void {
    const isSubscribed = (): boolean => contents.isSubscribed(by, this.#parts.nodes.clock.nowMs())
    const verdict = this.#parts.access.mayPublish(profile, node.facts, by, isSubscribed)
    if (verdict !== undefined) throw verdict
    // §7.1.5
    if (wanted !== undefined && !meets(node.facts.config, wanted, profile.limits))
      throw refusal('conflict', 'precondition-not-met')
  }

  async #prepare(
    profile: HostProfile,
    node: Node | undefined,
    facts: NodeFacts,
    { drafts, by }: PublishRequest,
    nowMs: number,
  ): Promise<readonly Prepared[]> {
    const { config, name } = facts
    checkCount(config, drafts, roomOf(config, profile))
    for (const draft of drafts) checkDraft(config, draft)
    const asked = await this.#parts.listeners.ask({ profile, nodeName: name, node: node?.facts, by, drafts })
    const prepared = asked.map(({ id, payload }): Prepared => {
      const text = payload === undefined ? undefined : toText(serialize(payload, ''))
      // §7.1.3.5
      if (text !== undefined && Buffer.byteLength(text) > Math.min(config.maxPayloadBytes, profile.limits.payloadBytes))
        throw refusal('not-acceptable', 'payload-too-big')
      return { item: { id: id ?? newId(), payload, publisher: by.jid, publishedAtMs: nowMs }, text }
    })
    if (new Set(prepared.map(({ item }) => item.id)).size < prepared.length) throw new StanzaError('bad-request')
    return prepared
  }

  /** §7.1.4: the node and what is in it appear together. */
  async #intoNew(
    profile: HostProfile,
    host: Host,
    facts: NodeFacts,
    prepared: readonly Prepared[],
    by: Address,
  ): Promise<readonly Item[]> {
    const { nodes, listeners, notifier } = this.#parts
    const places = prepared.map((_, nth): Place => ({ seq: nth + 1, atMs: facts.createdAtMs }))
    const stored = prepared.flatMap((each, nth) => {
      const place = places[nth]
      return place === undefined || !facts.config.persistItems ? [] : addition(facts.name, each, place)
    })
    await nodes.write(host, [storedNode(facts), ...stored])
    const node = nodes.keep(host, facts)
    listeners.tell({ kind: 'created', profile, node: facts, by })
    await notifier.created(profile, node)
    return this.#done(profile, node, nodes.begin(node), prepared, places, [], by)
  }

  /** What was written becomes known, here and to others. */
  async #done(
    profile: HostProfile,
    node: Node,
    contents: Contents,
    prepared: readonly Prepared[],
    places: readonly Place[],
    gone: readonly string[],
    by: Address,
  ): Promise<readonly Item[]> {
    const { listeners, notifier } = this.#parts
    const { facts } = node
    const { config } = facts
    contents.remove(gone)
    const items = prepared.map(({ item }) => item)
    for (const [nth, { item, text = '' }] of prepared.entries()) {
      const place = config.persistItems ? places[nth] : undefined
      if (place === undefined) contents.remember(item, text)
      else contents.add(item, place, text)
    }
    if (gone.length > 0)
      listeners.tell({ kind: 'retracted', profile, node: facts, by: profile.address, itemIds: gone, evicted: true })
    listeners.tell({ kind: 'published', profile, node: facts, by, items })
    // §7.1.2.5. In a node of one item the new one says it all, and clients take a retraction for "nothing any more".
    const isTold = config.whenFull === 'retract-oldest' && config.notifyRetract && config.maxItems !== 1
    if (gone.length > 0 && isTold) await notifier.retracted(profile, node, gone)
    await notifier.published(profile, node, items)
    return items
  }

  retract(profile: HostProfile, { name, ids, by, notify, isStrict }: RetractRequest): Promise<void> {
    const { nodes, notifier, listeners } = this.#parts
    return nodes.inTurn(profile.address.bare, name, async (host) => {
      const node = host.nodes.get(name)
      // §7.2.3.2
      if (node === undefined) throw new StanzaError('item-not-found')
      const contents = await nodes.contents(node)
      await this.#checkRetraction(profile, node, contents, ids, by)
      const known = [...new Set(ids)].filter((id) => contents.places.has(id))
      if (isStrict && known.length < ids.length) throw new StanzaError('item-not-found')
      if (known.length === 0) return
      await nodes.write(host, removals(name, contents, known))
      contents.remove(known)
      listeners.tell({ kind: 'retracted', profile, node: node.facts, by, itemIds: known, evicted: false })
      if (notify || node.facts.config.notifyRetract) await notifier.retracted(profile, node, known)
    })
  }

  /** §4.1: owners and publishers remove any item, everybody else who publishes removes what is theirs. */
  async #checkRetraction(
    profile: HostProfile,
    node: Node,
    contents: Contents,
    ids: readonly string[],
    by: Address,
  ): Promise<void> {
    const { nodes, access } = this.#parts
    const verdict = access.mayPublish(profile, node.facts, by, () => contents.isSubscribed(by, nodes.clock.nowMs()))
    if (verdict !== undefined) throw verdict
    // §7.2.3.5
    if (!node.facts.config.persistItems || node.facts.config.nodeType !== 'leaf') throw unsupported('persistent-items')
    const affiliation = affiliationOf(profile, node.facts, by.bare)
    if (affiliation === 'owner' || affiliation === 'publisher') return
    for (const id of ids) {
      const place = contents.places.get(id)
      const stored = place === undefined ? undefined : await nodes.get(node.facts.owner, itemKey(node.name, place.seq))
      if (stored?.kind === 'item' && stored.publisher.split('/', 1)[0] !== by.bare) throw new StanzaError('forbidden')
    }
  }

  /** §8.5 */
  purge(profile: HostProfile, name: string, by: Address): Promise<void> {
    const { nodes, notifier, listeners } = this.#parts
    return nodes.inTurn(profile.address.bare, name, async (host) => {
      const node = host.nodes.get(name)
      if (node === undefined) throw new StanzaError('item-not-found')
      requireOwner(profile, node.facts, by)
      const { config } = node.facts
      if (!config.persistItems || config.nodeType !== 'leaf') throw unsupported('persistent-items')
      const contents = await nodes.contents(node)
      await nodes.write(host, removals(name, contents, [...contents.places.keys()]))
      contents.clear()
      listeners.tell({ kind: 'purged', profile, node: node.facts, by })
      // §8.5.2: one notification, where removals are told at all.
      if (!config.notifyRetract) return
      await notifier.changed(profile, node, el(NS_PUBSUB_EVENT, 'purge', { node: name }), { of: 'items' })
    })
  }

  /** Removes items whose time is over (`pubsub#item_expire`). */
  expire(profile: HostProfile, name: string): Promise<void> {
    const { nodes, notifier, listeners } = this.#parts
    return nodes.inTurn(profile.address.bare, name, async (host) => {
      const node = host.nodes.get(name)
      if (node === undefined) return
      const contents = await nodes.contents(node)
      const expired = contents.expired(node.facts.config, nodes.clock.nowMs())
      if (expired.length === 0) return
      await nodes.write(host, removals(name, contents, expired))
      contents.remove(expired)
      listeners.tell({ kind: 'retracted', profile, node: node.facts, by: profile.address, itemIds: expired, evicted: true })
      if (node.facts.config.notifyRetract) await notifier.retracted(profile, node, expired)
    })
  }
}

/** XEP-0060 §7.1.3.7, §12.11 */
const checkCount = (config: NodeConfig, drafts: readonly Draft[], room: number): void => {
  if (config.nodeType === 'collection') throw unsupported('publish')
  if (drafts.length === 0 && config.persistItems) throw refusal('bad-request', 'item-required')
  if (drafts.length === 0 && config.deliverPayloads) throw refusal('bad-request', 'payload-required')
  if (drafts.length > 0 && !config.persistItems && !config.deliverPayloads) throw refusal('bad-request', 'item-forbidden')
  if (drafts.length > 1 && drafts.length > room) throw refusal('not-allowed', 'max-items-exceeded')
}

const checkDraft = (config: NodeConfig, { id, payload }: Draft): void => {
  if (id !== undefined && !isItemId(id)) throw new StanzaError('not-acceptable', { text: 'this cannot be the id of an item' })
  if (payload === undefined && config.deliverPayloads) throw refusal('bad-request', 'payload-required')
  // §7.1.3.6
  if (payload !== undefined && config.payloadType !== '' && payload.ns !== config.payloadType)
    throw refusal('bad-request', 'invalid-payload')
}
