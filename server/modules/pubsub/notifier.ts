import { newId } from '#server/base/random.ts'
import type { Router } from '#server/core/router.ts'
import type { Sessions } from '#server/core/sessions.ts'
import { delayElement } from '#stanzas/delay.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { Address, BareJid, Jid } from '#stanzas/jid.ts'
import { NS_PUBSUB_EVENT } from '#stanzas/namespaces.ts'
import { message, type Stanza } from '#stanzas/stanza.ts'
import { type Access, ownersOf } from './access.ts'
import type { HostProfile, Item, NodeFacts, Offer } from './api.ts'
import { type Contents, isOver, type Subscription } from './contents.ts'
import type { Node } from './host.ts'
import type { NodeStore } from './node-store.ts'

const NS_SHIM = 'http://jabber.org/protocol/shim'

/** Collections whose subscribers hear of a node: the nearest. Each may have thousands. */
const MAX_ABOVE = 50

/** Who of a node's subscribers an event is for. */
export interface Audience {
  /** Also those whose request waits (XEP-0060 §8.4.2). */
  readonly withPending?: boolean
  /** Which subscribers of collections above it hear of it (XEP-0248 §6.1). */
  readonly of: 'items' | 'nodes'
}

interface Recipient {
  readonly to: Address
  /** The collection by which it is subscribed. */
  readonly through: string | undefined
  /** It is at home in another process, and did not subscribe, or only by its bare JID. */
  readonly offered?: Offered
}

interface Offered {
  /** `undefined`: any of its resources. */
  readonly only: Set<Jid> | undefined
  readonly otherwise: Recipient | undefined
}

const event = (...children: readonly Element[]): Element => el(NS_PUBSUB_EVENT, 'event', {}, ...children)

/** The `<item/>` of an event or an answer, in its namespace (XEP-0060 §7.1.2.3). */
export const itemElement = (ns: string, profile: HostProfile, node: NodeFacts, item: Item, withPayload: boolean): Element => {
  const { itemReply } = node.config
  const publisher = itemReply === 'none' ? undefined : itemReply === 'owner' ? ownersOf(profile, node)[0] : item.publisher
  return el(ns, 'item', { id: item.id, publisher: bare(publisher) }, withPayload ? item.payload : undefined)
}

const bare = (jid: string | undefined): string | undefined => jid?.split('/', 1)[0]

/** Tells subscribers what happened. An event is encoded once, and each copy says another `to`. */
export class Notifier {
  readonly #nodes: NodeStore
  readonly #access: Access
  readonly #router: Router
  readonly #sessions: Sessions
  readonly #isElsewhere: (to: Address) => boolean
  readonly #sendIfAvailable: (event: Stanza, to: Address) => void
  readonly #onFailure: (node: NodeFacts, error: unknown) => void

  constructor(parts: {
    readonly nodes: NodeStore
    readonly access: Access
    readonly router: Router
    readonly sessions: Sessions
    /** Whether this is the address of an account, or at one, whose home is another process. */
    readonly isElsewhere: (to: Address) => boolean
    /** Has its home send an event to an address that is available. */
    readonly sendIfAvailable: (event: Stanza, to: Address) => void
    readonly onFailure: (node: NodeFacts, error: unknown) => void
  }) {
    this.#nodes = parts.nodes
    this.#access = parts.access
    this.#router = parts.router
    this.#sessions = parts.sessions
    this.#isElsewhere = parts.isElsewhere
    this.#sendIfAvailable = parts.sendIfAvailable
    this.#onFailure = parts.onFailure
  }

  /** New items (§7.1.2); without any, that something happened at a node that has no items (§4.3). */
  async published(profile: HostProfile, node: Node, items: readonly Item[]): Promise<void> {
    const { facts } = node
    const { deliverNotifications, deliverPayloads } = facts.config
    if (!deliverNotifications) return
    const listed = items.map((item) => itemElement(NS_PUBSUB_EVENT, profile, facts, item, deliverPayloads))
    await this.#tell(profile, node, [el(NS_PUBSUB_EVENT, 'items', { node: facts.name }, ...listed)], { of: 'items' })
  }

  /** Items that are gone (§7.2.2.1). */
  async retracted(profile: HostProfile, node: Node, ids: readonly string[]): Promise<void> {
    if (!node.facts.config.deliverNotifications) return
    const gone = ids.map((id) => el(NS_PUBSUB_EVENT, 'retract', { id }))
    await this.#tell(profile, node, [el(NS_PUBSUB_EVENT, 'items', { node: node.name }, ...gone)], { of: 'items' })
  }

  /** Something that concerns the node itself (§8.2.5.3, §8.4.2, §8.5.2). */
  async changed(profile: HostProfile, node: Node, what: Element, audience: Audience): Promise<void> {
    await this.#tell(profile, node, [what], audience)
  }

  /** A node was made in collections (XEP-0248 §5.3); nobody is subscribed to it yet. */
  async created(profile: HostProfile, node: Node): Promise<void> {
    const what = el(NS_PUBSUB_EVENT, 'create', { node: node.name })
    await this.#send(profile, node.facts, [what], (recipients) => this.#addAbove(recipients, profile, node, 'nodes'))
  }

  /** A node came into a collection or left it (XEP-0248 §5.3). */
  async associated(profile: HostProfile, child: string, collection: Node, how: 'associate' | 'dissociate'): Promise<void> {
    const { name } = collection
    const what = el(NS_PUBSUB_EVENT, 'collection', { node: name }, el(NS_PUBSUB_EVENT, how, { node: child }))
    await this.#send(profile, collection.facts, [what], async (recipients) => {
      await this.#addSubscribers(recipients, profile, collection, collection, of('nodes', 1))
      await this.#addAbove(recipients, profile, collection, 'nodes', 1)
    })
  }

  /** The state of one subscription has changed (§12.14). */
  subscription(profile: HostProfile, node: NodeFacts, to: Address, subscriber: Address, state: string): void {
    const what = el(NS_PUBSUB_EVENT, 'subscription', { node: node.name, jid: subscriber.jid, subscription: state })
    this.#route(this.#message(profile, node, event(what)), to)
  }

  /** The last item, as one that comes late (§6.1.7). */
  last(profile: HostProfile, node: NodeFacts, item: Item, to: Address): void {
    const listed = itemElement(NS_PUBSUB_EVENT, profile, node, item, node.config.deliverPayloads)
    const items = el(NS_PUBSUB_EVENT, 'items', { node: node.name }, listed)
    const delay = delayElement(profile.address, item.publishedAtMs)
    this.#route(this.#message(profile, node, event(items), delay), to)
  }

  #tell(profile: HostProfile, node: Node, what: readonly Element[], audience: Audience): Promise<void> {
    const wants = ({ state }: Subscription): boolean => audience.withPending === true || state === 'subscribed'
    return this.#send(profile, node.facts, what, async (recipients) => {
      await this.#addSubscribers(recipients, profile, node, node, wants)
      await this.#addAbove(recipients, profile, node, audience.of)
      await this.#addImplicit(recipients, profile, node)
    })
  }

  /**
   * Adds subscribers of a node, or of a collection above it, who are entitled to hear of the node now: rosters and lists may have changed since they
   * subscribed.
   */
  async #addSubscribers(
    recipients: Map<Jid, Recipient>,
    profile: HostProfile,
    about: Node,
    subscribed: Node,
    wants: (subscription: Subscription) => boolean,
  ): Promise<void> {
    const nowMs = this.#nodes.clock.nowMs()
    const { subscriptions } = await this.#contentsOf(subscribed)
    const own = about === subscribed ? undefined : await this.#contentsOf(about)
    for (const each of [...subscriptions.values()]) {
      const { address, options } = each
      if (!options.deliver || isOver(each, nowMs) || !wants(each) || recipients.has(address.jid)) continue
      const isSubscribed = (): boolean => own === undefined || own.isSubscribed(address, nowMs)
      const verdict = this.#access.mayRead(profile, about.facts, address, isSubscribed)
      const refusal = verdict instanceof Promise ? await verdict : verdict
      if (refusal !== undefined || (await profile.withholdsFrom?.(address)) === true) continue
      recipients.set(address.jid, { to: address, through: own === undefined ? undefined : subscribed.name })
    }
  }

  async #addAbove(
    recipients: Map<Jid, Recipient>,
    profile: HostProfile,
    node: Node,
    type: 'items' | 'nodes',
    further = 0,
  ): Promise<void> {
    for (const [above, distance] of node.host.collectionsAbove(node, MAX_ABOVE))
      await this.#addSubscribers(recipients, profile, node, above, of(type, distance + further))
  }

  /** A node that was just deleted still has what it had. */
  #contentsOf(node: Node): Contents | Promise<Contents> {
    return node.contents ?? this.#nodes.contents(node)
  }

  async #addImplicit(recipients: Map<Jid, Recipient>, profile: HostProfile, { facts }: Node): Promise<void> {
    const interested = profile.implicitSubscribers(facts)
    for (const to of interested instanceof Promise ? await interested : interested) {
      if (to.resourcepart !== '' && recipients.has(to.jid)) continue
      const verdict = this.#access.mayRead(profile, facts, to, () => false)
      const refusal = verdict instanceof Promise ? await verdict : verdict
      if (refusal !== undefined) continue
      if (this.#isElsewhere(to)) {
        offer(recipients, to)
        continue
      }
      // XEP-0163 §4.3.2: what goes to the bare JID would reach resources that do not want it.
      recipients.delete(to.bare)
      recipients.set(to.jid, { to, through: undefined })
    }
  }

  #message({ address }: HostProfile, { config }: NodeFacts, ...children: readonly Element[]): Stanza {
    const type = config.notificationType === 'headline' ? 'headline' : undefined
    return message({ from: address, id: newId(), type }, ...children)
  }

  /** What happened is durable whether or not anybody can be told of it. */
  async #send(
    profile: HostProfile,
    node: NodeFacts,
    what: readonly Element[],
    collect: (recipients: Map<Jid, Recipient>) => Promise<void>,
  ): Promise<void> {
    try {
      const recipients = new Map<Jid, Recipient>()
      await collect(recipients)
      if (recipients.size === 0) return
      const plain = this.#message(profile, node, event(...what))
      // In one piece: otherwise each copy is put together anew from the many of which its text was made.
      this.#copy(recipients.size === 1 ? plain : plain.detach(), profile, node, recipients)
    } catch (error) {
      this.#onFailure(node, error)
    }
  }

  #copy(plain: Stanza, profile: HostProfile, node: NodeFacts, recipients: ReadonlyMap<Jid, Recipient>): void {
    const throughCollections = new Map<string, Stanza>()
    const copyFor = (through: string | undefined): Stanza => {
      if (through === undefined) return plain
      const copy = throughCollections.get(through) ?? plain.restamp({ append: collectionHeader(through) })
      throughCollections.set(through, copy)
      return copy
    }
    const ifAvailable = node.config.presenceBasedDelivery
    const offers: Offer[] = []
    for (const { to, through, offered } of recipients.values()) {
      if (offered !== undefined) {
        const otherwise = offered.otherwise && copyFor(offered.otherwise.through)
        const only = offered.only && [...offered.only]
        offers.push({ account: to, only, not: resourcesOf(to.bare, recipients), otherwise, ifAvailable })
      } else if (!ifAvailable || this.isAvailable(to)) this.#route(copyFor(through), to)
      else if (this.#isElsewhere(to)) this.#sendIfAvailable(copyFor(through), to)
    }
    if (offers.length > 0) profile.offer?.(node, plain, offers)
  }

  #route(stanza: Stanza, to: Address): void {
    this.#router.route(stanza.restamp({ to }))
  }

  /** Whether the address is available, of those that are at home here. */
  isAvailable(to: Address): boolean {
    if (to.resourcepart === '') return this.#sessions.of(to.bare).some((session) => session.isAvailable)
    return this.#sessions.get(to)?.isAvailable === true
  }
}

/** Makes an account, or one of its resources, an offer in the place of what would go to its bare JID (XEP-0163 §4.3.2). */
const offer = (recipients: Map<Jid, Recipient>, to: Address): void => {
  const before = recipients.get(to.bare)
  const offered = before?.offered ?? { only: to.resourcepart === '' ? undefined : new Set(), otherwise: before }
  if (to.resourcepart !== '') offered.only?.add(to.jid)
  recipients.set(to.bare, { to: to.bareAddress, through: undefined, offered })
}

const resourcesOf = (account: BareJid, recipients: ReadonlyMap<Jid, Recipient>): readonly Jid[] => {
  const resources: Jid[] = []
  for (const { to } of recipients.values()) if (to.bare === account && to.resourcepart !== '') resources.push(to.jid)
  return resources
}

/** XEP-0248 §6.1: a subscriber of a collection that is so far above what happened. */
const of =
  (type: 'items' | 'nodes', distance: number) =>
  ({ state, options }: Subscription): boolean =>
    state === 'subscribed' &&
    (options.type === type || options.type === 'all') &&
    (options.depth === 'all' || distance <= options.depth)

/** XEP-0248 §6.1: by which of its subscriptions an entity hears of it. */
const collectionHeader = (collection: string): Element =>
  el(NS_SHIM, 'headers', {}, el(NS_SHIM, 'header', { name: 'Collection' }, collection))
