import type { IqRequest } from '#server/core/module.ts'
import type { DiscoInfo } from '#stanzas/disco-info.ts'
import type { Element } from '#stanzas/element.ts'
import type { Address, BareJid, Jid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import type { Affiliation, NodeConfig } from './node-config.ts'

/** An item as it was published. */
export interface Item {
  readonly id: string
  readonly payload: Element | undefined
  /** Who published it, as the server saw the address. */
  readonly publisher: Jid
  readonly publishedAtMs: number
}

/** What is to be published; without an id the engine makes one. */
export interface Draft {
  readonly id?: string | undefined
  readonly payload?: Element | undefined
}

/** A node as other modules see it; a new object whenever something of it changes. */
export interface NodeFacts {
  readonly owner: BareJid
  readonly name: string
  readonly config: NodeConfig
  /** Of bare JIDs; who is not in it has what the host's profile says, or `none`. */
  readonly affiliations: ReadonlyMap<BareJid, Affiliation>
  readonly creator: BareJid
  readonly createdAtMs: number
}

/** How much nodes of one host may hold; what is over it is refused or evicted. */
export interface HostLimits {
  readonly nodes: number
  /** Of these, how many one account may make that does not own them all; without it, all. */
  readonly nodesPerCreator?: number
  /** What `max` means, and the most that a node may be configured to keep. */
  readonly itemsPerNode: number
  readonly payloadBytes: number
}

/**
 * What differs between those who own nodes: the service at its own domain, and each account at its bare JID (XEP-0163). It may be made anew for every call;
 * whatever a node has to remember is kept by the engine under `address`.
 */
export interface HostProfile {
  /** Whose nodes these are; events come from here. Always without a resourcepart. */
  readonly address: Address
  readonly limits: HostLimits
  /** Whether publishing to a node that is not there makes it (XEP-0060 §7.1.4). */
  readonly autoCreates: boolean
  /** How a new node behaves before its creator's wishes are heard; `undefined` stands for a node that is yet to get a name. */
  defaultsFor(node: string | undefined): NodeConfig
  /** Who may make nodes (XEP-0060 §8.1). */
  mayCreate(asker: Address): boolean | Promise<boolean>
  /** What an entity is at every node, whatever the node says: the account at its own, administrators at the service's. */
  affiliationOf(asker: BareJid): Affiliation | undefined
  /**
   * Those interested in a node who never subscribed (XEP-0163 §4.3), asked for each event of a leaf node, also one that is just being deleted. Full or bare JIDs.
   * The engine leaves out who may not read the node, sends nobody the same event twice, and to an account that subscribed by its bare JID only at those
   * resources that are named here, when there are any (§4.3.2). Of an account that is at home in another process they are not all interested: it is made an offer.
   */
  implicitSubscribers(node: NodeFacts): readonly Address[] | Promise<readonly Address[]>
  /** Sends an event to accounts among them that are at home in another process, where it is known who is interested. */
  offer?(node: NodeFacts, event: Stanza, offers: readonly Offer[]): void
  /** Whether nothing is to be sent to this subscriber, whatever it may read (XEP-0163 §4.3.3); nobody is left out without it. */
  withholdsFrom?(subscriber: Address): boolean | Promise<boolean>
}

/** An event for the resources of an account that want it. */
export interface Offer {
  readonly account: Address
  /** No others than these. */
  readonly only: readonly Jid[] | undefined
  /** These have it anyway. */
  readonly not: readonly Jid[]
  /** For the bare JID, which is subscribed, when none of them wants it. */
  readonly otherwise: Stanza | undefined
  /** Whether that goes there only while the account is available. */
  readonly ifAvailable: boolean
}

/** What happened at a node, told after it is durable and in the order in which it happened to the node. */
export type PubsubEvent = {
  readonly profile: HostProfile
  readonly node: NodeFacts
  /** Who did it; the host's own address when the server did. */
  readonly by: Address
} & (
  | { readonly kind: 'created' | 'configured' | 'purged' }
  | { readonly kind: 'deleted'; readonly redirect: string | undefined }
  | { readonly kind: 'published'; readonly items: readonly Item[] }
  /** `evicted`: nobody asked, the node was full or their time was over. */
  | { readonly kind: 'retracted'; readonly itemIds: readonly string[]; readonly evicted: boolean }
)
export type PubsubListener = (event: PubsubEvent) => void | Promise<void>

/** What a guard is asked about: items that are allowed and in order, and not stored yet. The node is `undefined` when publishing will make it. */
export interface Publication {
  readonly profile: HostProfile
  readonly nodeName: string
  readonly node: NodeFacts | undefined
  readonly by: Address
  readonly drafts: readonly Draft[]
}
/** Returns the items to publish instead, or the same; throws a `StanzaError` to refuse. */
export type PublishGuard = (publication: Publication) => readonly Draft[] | Promise<readonly Draft[]>

/** How other modules publish. */
export interface PublishOptions {
  /** Who is said to have published it, and whose rights count; the host itself, which may do everything, unless said. */
  readonly by?: Address
  /** Configuration that the node must have, or gets when publishing makes it (XEP-0060 §7.1.5). */
  readonly config?: Partial<NodeConfig>
  /** Makes the node although the profile does not, when it is not there. */
  readonly creates?: boolean
}

/** What modules may ask of the engine. A refusal is a `StanzaError`, the one that a client would get. */
export interface PubsubApi {
  /** Answers a request in `http://jabber.org/protocol/pubsub` or its `#owner` (both `<pubsub/>`); to be registered for get and set of both. */
  handle(profile: HostProfile, request: IqRequest): Promise<Element | undefined>
  /** What a node tells about itself to this asker (XEP-0060 §5.3, §5.4); refuses when there is none or it may not be seen. */
  nodeInfo(profile: HostProfile, node: string, asker: Address): Promise<DiscoInfo>
  /** `<item/>`s of disco#items: the nodes without a node or of a collection (§5.2), else the node's items (§5.5). */
  discoItems(profile: HostProfile, node: string | undefined, asker: Address): Promise<readonly Element[]>

  /** All nodes of an owner; without a promise when they are in memory. */
  nodes(owner: BareJid): readonly NodeFacts[] | Promise<readonly NodeFacts[]>
  node(owner: BareJid, node: string): NodeFacts | undefined | Promise<NodeFacts | undefined>
  /** Items in the order of publication; the last `max`, or those with these ids. Empty when there is no such node. */
  items(
    owner: BareJid,
    node: string,
    which?: { readonly ids?: readonly string[]; readonly max?: number },
  ): Promise<readonly Item[]>
  /** Whether the asker may read and subscribe to the node, by its access model and affiliations (§4.5). */
  mayRead(profile: HostProfile, node: NodeFacts, asker: Jid): boolean | Promise<boolean>

  createNode(profile: HostProfile, node: string, config?: Partial<NodeConfig>): Promise<NodeFacts>
  configure(profile: HostProfile, node: string, config: Partial<NodeConfig>): Promise<void>
  deleteNode(profile: HostProfile, node: string): Promise<void>
  purge(profile: HostProfile, node: string): Promise<void>
  publish(profile: HostProfile, node: string, drafts: readonly Draft[], options?: PublishOptions): Promise<readonly Item[]>
  /** Removes items; those that are not there are passed over. `notify`: tells subscribers even where the node is not configured to. */
  retract(
    profile: HostProfile,
    node: string,
    ids: readonly string[],
    options?: { readonly by?: Address; readonly notify?: boolean },
  ): Promise<void>
  /** Sends the last item of a leaf node, with its time (§6.1.7, XEP-0163 §4.3.4), to somebody who may read it; does nothing when there is none, or the node is configured to `never` send it. */
  sendLast(profile: HostProfile, node: NodeFacts, to: Address): void | Promise<void>
  /** An owner's answer, in a message, to whether somebody may subscribe (§8.6). */
  answered(profile: HostProfile, asker: Address, answer: Stanza): Promise<void>
  /** Ends those of an account's subscriptions that it is not entitled to any more (XEP-0163 §7.1). */
  endUnentitled(profile: HostProfile, account: BareJid): Promise<void>
  /** Removes everything that was kept for an owner; tells nobody. */
  deleteOwner(owner: BareJid): Promise<void>

  /** Calls back for each event, of one node name at whichever owner or of all; its failure is logged. */
  observe(node: string | undefined, listener: PubsubListener): void
  /** Asks before items are published to nodes of this name, at whichever owner. Guards of one name run in the order they came. */
  guard(node: string, ask: PublishGuard): void
}
