import type { BareJid } from '#stanzas/jid.ts'
import type { NodeFacts } from './api.ts'
import type { Contents } from './contents.ts'

/** A node in memory. */
export interface Node {
  readonly host: Host
  readonly name: string
  facts: NodeFacts
  /** Read when they are first needed. */
  contents: Contents | undefined
  loading: Promise<Contents> | undefined
}

/** All nodes of one owner, with what is needed of each at all times, and which are in which collection. */
export class Host {
  readonly owner: BareJid
  readonly nodes = new Map<string, Node>()
  /** Nodes being written for the first time, which count as if they were there. */
  making = 0
  /** Operations under way. */
  uses = 0
  isGone = false
  readonly #children = new Map<string, Set<Node>>()

  constructor(owner: BareJid) {
    this.owner = owner
  }

  keep(facts: NodeFacts): Node {
    const before = this.nodes.get(facts.name)
    if (before === undefined) {
      const node: Node = { host: this, name: facts.name, facts, contents: undefined, loading: undefined }
      this.nodes.set(facts.name, node)
      this.#associate(node)
      return node
    }
    this.#dissociate(before)
    before.facts = facts
    this.#associate(before)
    return before
  }

  drop(node: Node): void {
    this.#dissociate(node)
    this.nodes.delete(node.name)
  }

  /** The nodes of a collection (XEP-0248 §3). */
  childrenOf(collection: string): ReadonlySet<Node> {
    return this.#children.get(collection) ?? NONE
  }

  isInCollection({ facts }: Node): boolean {
    return facts.config.collections.some((name) => this.nodes.get(name)?.facts.config.nodeType === 'collection')
  }

  /** The collections a node is in, each with how far up it is; the nearest first, and no more than `most`. */
  collectionsAbove(node: Node, most = Number.POSITIVE_INFINITY): ReadonlyMap<Node, number> {
    const above = new Map<Node, number>()
    let level: readonly Node[] = [node]
    for (let distance = 1; level.length > 0; distance++) {
      const next: Node[] = []
      for (const each of level)
        for (const name of each.facts.config.collections) {
          const collection = this.nodes.get(name)
          if (collection?.facts.config.nodeType !== 'collection' || above.has(collection)) continue
          above.set(collection, distance)
          if (above.size >= most) return above
          next.push(collection)
        }
      level = next
    }
    return above
  }

  #associate(node: Node): void {
    for (const collection of node.facts.config.collections) {
      const children = this.#children.get(collection)
      if (children === undefined) this.#children.set(collection, new Set([node]))
      else children.add(node)
    }
  }

  #dissociate(node: Node): void {
    for (const collection of node.facts.config.collections) {
      const children = this.#children.get(collection)
      children?.delete(node)
      if (children?.size === 0) this.#children.delete(collection)
    }
  }
}

const NONE: ReadonlySet<Node> = new Set()
