import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import type { Address, BareJid, Jid } from '#stanzas/jid.ts'
import { NS_PUBSUB } from '#stanzas/namespaces.ts'
import { NS_RSM, type RsmRequest, readRsm, rsmElement } from '#stanzas/rsm.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toWire } from '#stanzas/wire.ts'
import type { HostProfile, Item, NodeFacts } from './api.ts'
import type { Contents, Place } from './contents.ts'
import { unsupported } from './errors.ts'
import type { Node } from './host.ts'
import { itemElement } from './notifier.ts'
import type { Parts } from './parts.ts'
import { itemKey, itemsOf, type Stored } from './stored.ts'

/** Items read at once; an answer ends behind the page that makes it this large, and says so (XEP-0060 §6.5.4). */
const PAGE = 100
const MAX_ANSWER_CHARS = 1_048_576

type Entry = readonly [id: string, place: Place]

/** Items that were asked for; `isCut` when there were more than an answer holds. */
interface Found {
  readonly items: readonly Item[]
  readonly isCut: boolean
}

/** Reads items (XEP-0060 §6.5). */
export class Reading {
  readonly #parts: Parts
  readonly #onExpired: (profile: HostProfile, node: string) => void

  constructor(parts: Parts, onExpired: (profile: HostProfile, node: string) => void) {
    this.#parts = parts
    this.#onExpired = onExpired
  }

  /** Answers a request for items. */
  async answer(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const asked = request.getChild('items')
    const node = await this.#nodeOf(profile, asked?.attrs.node)
    const contents = await this.#parts.nodes.contents(node)
    await this.check(profile, node.facts, contents, asker)
    // §6.5.9.5
    if (node.facts.config.nodeType === 'collection') throw unsupported('retrieve-items')
    const rsm = readRsm(request)
    if (rsm === undefined || asked === undefined) throw new StanzaError('bad-request')
    const entries = this.#current(profile, node, contents)
    const ids = asked.getChildren('item').map(({ attrs: { id } }) => id)
    if (ids.some((id) => id === undefined)) throw new StanzaError('bad-request')
    const { maxItems, isPaged } = {
      maxItems: readMaxItems(asked.attrs.max_items),
      isPaged: request.getChild('set', NS_RSM) !== undefined,
    }

    if (ids.length > 0) {
      const wanted = new Set(ids)
      const { items } = await this.#read(
        node,
        contents,
        entries.filter(([id]) => wanted.has(id)),
      )
      return this.#element(profile, node, items, undefined)
    }
    const start = maxItems === undefined ? 0 : Math.max(0, entries.length - maxItems)
    const page = isPaged ? pageOf(entries, rsm, maxItems) : { start, end: entries.length }
    const { items, isCut } = await this.#read(node, contents, entries.slice(page.start, page.end))
    const isWhole = !isPaged && !isCut
    const set = isWhole
      ? undefined
      : rsmElement({
          first: items[0]?.id,
          last: items.at(-1)?.id,
          index: items.length === 0 ? undefined : page.start,
          count: entries.length,
        })
    return this.#element(profile, node, items, set)
  }

  /** Items for other modules. */
  async items(
    owner: BareJid,
    name: string,
    which: { readonly ids?: readonly string[]; readonly max?: number },
  ): Promise<readonly Item[]> {
    const node = (await this.#parts.nodes.host(owner)).nodes.get(name)
    if (node === undefined) return []
    const contents = await this.#parts.nodes.contents(node)
    const wanted = which.ids === undefined ? undefined : new Set(which.ids)
    const entries = this.#current(undefined, node, contents).filter(([id]) => wanted === undefined || wanted.has(id))
    const found: Item[] = []
    const last = which.max === undefined ? entries : entries.slice(Math.max(0, entries.length - which.max))
    // Whoever asks here has room for all.
    while (found.length < last.length) {
      const { items, isCut } = await this.#read(node, contents, last.slice(found.length))
      found.push(...items)
      if (!isCut) break
    }
    return found
  }

  /** The item that was published last and is still there. */
  last(node: Node, contents: Contents): Item | undefined | Promise<Item | undefined> {
    const { last, lastId } = contents
    const { config } = node.facts
    const nowMs = this.#parts.nodes.clock.nowMs()
    const isOver = (item: Item): boolean =>
      config.itemExpire !== 'max' && config.itemExpire > 0 && item.publishedAtMs + config.itemExpire * 1000 <= nowMs
    if (last !== undefined) return isOver(last) ? undefined : last
    const place = lastId === undefined ? undefined : contents.places.get(lastId)
    if (lastId === undefined || place === undefined) return undefined
    return this.#parts.nodes.get(node.facts.owner, itemKey(node.name, place.seq)).then((stored) => {
      // Another one was published meanwhile, perhaps by the same id, or this one is gone.
      if (contents.places.get(lastId) !== place || contents.last !== undefined) return this.last(node, contents)
      const item = stored === undefined ? undefined : itemOf(stored)
      contents.last = item
      return item === undefined || isOver(item) ? undefined : item
    })
  }

  /** Refuses whoever may not read the node (§6.5.9). */
  async check(profile: HostProfile, facts: NodeFacts, contents: Contents, asker: Address): Promise<void> {
    const isSubscribed = (): boolean => contents.isSubscribed(asker, this.#parts.nodes.clock.nowMs())
    const verdict = await this.#parts.access.mayRead(profile, facts, asker, isSubscribed)
    if (verdict !== undefined) throw verdict
  }

  /** The ids of items that are there, oldest first. */
  ids(profile: HostProfile, node: Node, contents: Contents): readonly string[] {
    return this.#current(profile, node, contents).map(([id]) => id)
  }

  async #nodeOf(profile: HostProfile, name: string | undefined): Promise<Node> {
    const host = await this.#parts.nodes.host(profile.address.bare)
    const node = name === undefined ? undefined : host.nodes.get(name)
    // §6.5.9.11
    if (node === undefined) throw new StanzaError('item-not-found')
    return node
  }

  #current(profile: HostProfile | undefined, { facts, name }: Node, contents: Contents): readonly Entry[] {
    const { config } = facts
    // §6.5.5: of a node that keeps nothing, the last one is there as long as it is remembered.
    if (!config.persistItems) return contents.last === undefined ? [] : [[contents.last.id, { seq: 0, atMs: 0 }]]
    const expired = contents.expired(config, this.#parts.nodes.clock.nowMs()).length
    const entries = [...contents.places]
    if (expired === 0) return entries
    if (profile !== undefined) this.#onExpired(profile, name)
    return entries.slice(expired)
  }

  async #read(node: Node, contents: Contents, entries: readonly Entry[]): Promise<Found> {
    const { last } = contents
    const items: Item[] = []
    let chars = 0
    for (let at = 0; at < entries.length; at += PAGE) {
      if (chars > MAX_ANSWER_CHARS) return { items, isCut: true }
      const page = entries.slice(at, at + PAGE)
      if (page.length === 1 && page[0]?.[0] === last?.id && last !== undefined) {
        items.push(last)
        continue
      }
      for (const stored of await this.#load(node, page)) {
        chars += stored.kind === 'item' ? (stored.payload?.length ?? 0) : 0
        const item = itemOf(stored)
        if (item !== undefined) items.push(item)
      }
    }
    return { items, isCut: false }
  }

  /** One listing where they stand together, else one by one. */
  async #load({ facts: { owner }, name }: Node, entries: readonly Entry[]): Promise<readonly Stored[]> {
    const first = entries[0]?.[1].seq ?? 0
    const last = entries.at(-1)?.[1].seq ?? 0
    if (last - first < 2 * entries.length) {
      const wanted = new Set(entries.map(([id]) => id))
      const listed = await this.#parts.nodes.list(owner, itemsOf(name), itemKey(name, first - 1), last - first + 1)
      return listed.flatMap(({ value }) => (value.kind === 'item' && wanted.has(value.id) ? [value] : []))
    }
    const found = await Promise.all(entries.map(([, { seq }]) => this.#parts.nodes.get(owner, itemKey(name, seq))))
    return found.filter((stored) => stored !== undefined)
  }

  #element(profile: HostProfile, node: Node, items: readonly Item[], set: Element | undefined): Element {
    const listed = items.map((item) => itemElement(NS_PUBSUB, profile, node.facts, item, true))
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'items', { node: node.name }, ...listed), set)
  }
}

const itemOf = (stored: Stored): Item | undefined => {
  if (stored.kind !== 'item') return undefined
  const { id, payload, publisher, atMs } = stored
  const element = payload === undefined ? undefined : parseElement(toWire(payload))
  return { id, payload: element, publisher: publisher satisfies Jid, publishedAtMs: atMs }
}

/** §6.5.7 */
const readMaxItems = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  if (!/^\d{1,10}$/.test(text)) throw new StanzaError('bad-request')
  return Number(text)
}

/** Where a page is in the whole set (XEP-0059 §2). */
const pageOf = (
  entries: readonly Entry[],
  { max, after, before, index }: RsmRequest,
  maxItems: number | undefined,
): { readonly start: number; readonly end: number } => {
  const size = Math.min(max ?? maxItems ?? entries.length, entries.length)
  const placeOf = (id: string): number => {
    const found = entries.findIndex(([each]) => each === id)
    // XEP-0059 §2.2
    if (found === -1) throw new StanzaError('item-not-found')
    return found
  }
  if (before !== undefined) {
    const end = before === '' ? entries.length : placeOf(before)
    return { start: Math.max(0, end - size), end }
  }
  if (index !== undefined && index > entries.length) throw new StanzaError('item-not-found')
  const start = after === undefined ? (index ?? 0) : placeOf(after) + 1
  return { start, end: Math.min(entries.length, start + size) }
}
