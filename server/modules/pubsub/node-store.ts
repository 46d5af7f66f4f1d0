import type { Clock } from '#server/base/clock.ts'
import type { BareJid, Jid } from '#stanzas/jid.ts'
import { parseJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Documents } from '#storage/shapes.ts'
import type { HostProfile, Item, NodeFacts } from './api.ts'
import { Contents, type Place, type Subscription } from './contents.ts'
import { Host, type Node } from './host.ts'
import { Lru } from './lru.ts'
import type { PublishPart, PublishRequest } from './publish-part.ts'
import { NODES, nodeKey, partsBehind, placesOf, type Stored, type StoredNode, subscriptionsOf } from './stored.ts'
import { type Next, Turns } from './turns.ts'

/** Documents read at once while a host or a node is loaded. */
const PAGE = 500
/** Operations of one node that wait for each other; a storm of them is refused. */
const MAX_WAITING = 256

/** A change of a document; `undefined` removes it. */
export interface Change {
  readonly key: string
  readonly value: Stored | undefined
}

/** How much is kept in memory; what was used longest ago goes first. */
export interface MemoryLimits {
  readonly nodes: number
  /** Places of items and subscriptions. */
  readonly entries: number
}

/**
 * Every node, in memory while it is used. Whatever changes a node runs in its turn (`inTurn`), is written at once and whole (`write`), and only then changes what
 * is in memory: so what is read there is durable, and what fails leaves no trace. Hosts and nodes with work under way are not forgotten.
 */
export class NodeStore {
  readonly #documents: Documents<Stored>
  readonly #limits: MemoryLimits
  readonly #hosts = new Map<BareJid, Host>()
  readonly #loading = new Map<BareJid, Promise<Host>>()
  readonly #warmHosts = new Lru<Host>()
  readonly #warmNodes = new Lru<Node>()
  readonly #turns = new Turns<PublishPart>(MAX_WAITING)
  readonly clock: Clock

  constructor(documents: Documents<Stored>, clock: Clock, limits: MemoryLimits) {
    this.#documents = documents
    this.clock = clock
    this.#limits = limits
  }

  /** Everything known of an owner's nodes but their contents; without a promise when it is in memory. */
  host(owner: BareJid): Host | Promise<Host> {
    const host = this.#hosts.get(owner)
    if (host === undefined) return this.#load(owner)
    this.#warmHosts.touch(host, host.nodes.size + 1)
    return host
  }

  /** Runs a task after all earlier ones of this node, there or not yet there. */
  async inTurn<T>(owner: BareJid, name: string, task: (host: Host) => T | Promise<T>): Promise<T> {
    const host = this.#hold(owner)
    try {
      return await this.#turns.run(`${owner}\n${name}`, async () => task(await host))
    } finally {
      letGo(host)
    }
  }

  /** Publishes in that turn; `work` is given what comes right behind it meanwhile, too. */
  async publishInTurn(
    profile: HostProfile,
    request: PublishRequest,
    work: (next: Next<PublishPart>) => Promise<void>,
  ): Promise<readonly Item[]> {
    const owner = profile.address.bare
    const host = this.#hold(owner)
    try {
      return await new Promise((resolve, reject) =>
        this.#turns.together(`${owner}\n${request.name}`, { profile, request, host, resolve, reject }, work),
      )
    } finally {
      letGo(host)
    }
  }

  #hold(owner: BareJid): Host | Promise<Host> {
    const host = this.host(owner)
    if (!(host instanceof Promise)) return inUse(host)
    return host.then(inUse)
  }

  /** Writes all changes or none. */
  async write(host: Host, changes: readonly Change[]): Promise<void> {
    // The owner is gone; nothing of it may come back.
    if (host.isGone) throw new StanzaError('item-not-found')
    if (changes.length > 0) await this.#documents.putAll(host.owner, changes)
  }

  /** Makes the node known, or what is new of it. */
  keep(host: Host, facts: NodeFacts): Node {
    const node = host.keep(facts)
    this.#warmHosts.touch(host, host.nodes.size + 1)
    return node
  }

  /** Places and subscriptions of a node; without a promise when they are in memory. */
  contents(node: Node): Contents | Promise<Contents> {
    const { contents } = node
    if (contents === undefined) return this.#loadContents(node)
    this.#warmNodes.touch(node, contents.weight)
    return contents
  }

  get(owner: BareJid, key: string): Promise<Stored | undefined> {
    return this.#documents.get(owner, key)
  }

  /** Documents whose keys begin like this, in key order; `after` a whole key. */
  async list(owner: BareJid, prefix: string, after = prefix, limit = Number.POSITIVE_INFINITY): Promise<readonly Entry[]> {
    const found: Entry[] = []
    for (let last = after; found.length < limit; ) {
      const wanted = Math.min(PAGE, limit - found.length)
      const page = await this.#documents.list(owner, { after: last, limit: wanted })
      for (const { key, value } of page) {
        if (!key.startsWith(prefix)) return found
        found.push({ parts: partsBehind(prefix, key), value })
        last = key
      }
      if (page.length < wanted) break
    }
    return found
  }

  /** Lets go of what is in memory of an owner; whoever asks next reads it. */
  leave(owner: BareJid): void {
    const host = this.#hosts.get(owner)
    if (host !== undefined) this.#forget(host)
    this.#loading.delete(owner)
  }

  /** Removes everything of an owner. */
  async deleteOwner(owner: BareJid): Promise<void> {
    const host = await this.host(owner)
    host.isGone = true
    this.#forget(host)
    // Whoever asks meanwhile waits until nothing is left to be found.
    await this.#loadAfter(owner, this.#documents.deleteOwner(owner))
  }

  #load(owner: BareJid): Promise<Host> {
    const underWay = this.#loading.get(owner)
    if (underWay !== undefined) return underWay
    return this.#loadAfter(owner, undefined)
  }

  #loadAfter(owner: BareJid, earlier: Promise<void> | undefined): Promise<Host> {
    const read = earlier === undefined ? this.#read(owner) : earlier.then(() => this.#read(owner))
    const isCurrent = (): boolean => this.#loading.get(owner) === loading
    const loading: Promise<Host> = read.then(
      (host) => {
        // It has left meanwhile: what was read is for those who asked before, and is not remembered.
        if (!isCurrent()) return host
        this.#loading.delete(owner)
        return this.#remember(host)
      },
      (error: unknown) => {
        if (isCurrent()) this.#loading.delete(owner)
        throw error
      },
    )
    this.#loading.set(owner, loading)
    return loading
  }

  async #read(owner: BareJid): Promise<Host> {
    const host = new Host(owner)
    for (const { parts, value } of await this.list(owner, NODES)) {
      const [name] = parts
      if (name !== undefined && value.kind === 'node') host.keep(factsOf(owner, name, value))
    }
    return host
  }

  #remember(host: Host): Host {
    this.#hosts.set(host.owner, host)
    this.#warmHosts.touch(host, host.nodes.size + 1)
    for (const cold of this.#warmHosts.excess(this.#limits.nodes, (each) => each.uses === 0 && each !== host)) this.#forget(cold)
    return host
  }

  #forget(host: Host): void {
    this.#hosts.delete(host.owner)
    this.#warmHosts.remove(host)
    for (const node of host.nodes.values()) this.#warmNodes.remove(node)
  }

  #loadContents(node: Node): Promise<Contents> {
    node.loading ??= this.#readContents(node).finally(() => {
      node.loading = undefined
    })
    return node.loading
  }

  async #readContents(node: Node): Promise<Contents> {
    const { host, name } = node
    host.uses++
    try {
      const [places, subscriptions] = await Promise.all([
        this.list(host.owner, placesOf(name)),
        this.list(host.owner, subscriptionsOf(name)),
      ])
      return this.#keepContents(node, new Contents(readPlaces(places), readSubscriptions(subscriptions)))
    } finally {
      host.uses--
    }
  }

  /** Makes known that a node that was just written has nothing in it. */
  begin(node: Node): Contents {
    return this.#keepContents(node, new Contents([], []))
  }

  #keepContents(node: Node, contents: Contents): Contents {
    node.contents = contents
    this.#warmNodes.touch(node, contents.weight)
    const isIdle = (each: Node): boolean => each.host.uses === 0 && each !== node
    for (const cold of this.#warmNodes.excess(this.#limits.entries, isIdle)) {
      cold.contents = undefined
      this.#warmNodes.remove(cold)
    }
    return contents
  }

  /** The node is gone from the store. */
  drop(node: Node): void {
    node.host.drop(node)
    this.#warmNodes.remove(node)
  }
}

const inUse = (host: Host): Host => {
  host.uses++
  return host
}

/** What could not be read is not held. */
const letGo = (held: Host | Promise<Host>): void => {
  if (!(held instanceof Promise)) held.uses--
  else
    held.then(
      (host) => host.uses--,
      () => undefined,
    )
}

/** A document that was listed: its value, and the parts of its key behind the prefix. */
export interface Entry {
  readonly parts: readonly string[]
  readonly value: Stored
}

const factsOf = (owner: BareJid, name: string, { config, affiliations, creator, createdAtMs }: StoredNode): NodeFacts => ({
  owner,
  name,
  config,
  affiliations: new Map(affiliations),
  creator,
  createdAtMs,
})

/** What is stored of a node. */
export const storedNode = ({ name, config, affiliations, creator, createdAtMs }: NodeFacts): Change => ({
  key: nodeKey(name),
  value: { kind: 'node', config, affiliations: [...affiliations], creator, createdAtMs },
})

const readPlaces = (entries: readonly Entry[]): readonly (readonly [id: string, place: Place])[] =>
  entries
    .flatMap(({ parts: [id], value }) => (id !== undefined && value.kind === 'place' ? [[id, value] as const] : []))
    .map(([id, { seq, atMs }]) => [id, { seq, atMs }] as const)
    .sort(([, a], [, b]) => a.seq - b.seq)

const readSubscriptions = (entries: readonly Entry[]): readonly (readonly [Jid, Subscription])[] =>
  entries.flatMap(({ parts: [jid = ''], value }) => {
    const address = parseJid(jid)
    if (address === undefined || value.kind !== 'subscription') return []
    return [[address.jid, { address, state: value.state, options: value.options }] as const]
  })
