import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
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
import { itemKey, itemsOf, type StoredItem } from './stored.ts'

/** Items read at once: few at first, and more where they are small. An answer ends behind the item that makes it this large, and says so (XEP-0060 §6.5.4). */
const FIRST_PAGE = 5
const PAGE = 100
const MAX_ANSWER_CHARS = 1_048_576
/** What is read at once, about. */
const PAGE_CHARS = 262_144

type Entry = readonly [id: string, place: Place]

/** Chooses some of all items; `start` is where they begin. */
type Select = (all: readonly Entry[]) => { readonly start: number; readonly entries: readonly Entry[] }

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
    const ids = asked.getChildren('item').map(({ attrs: { id } }) => id)
    if (ids.some((id) => id === undefined)) throw new StanzaError('bad-request')
    const maxItems = readMaxItems(asked.attrs.max_items)
    const isPaged = request.getChild('set', NS_RSM) !== undefined

    const wanted = new Set(ids)
    const { items, isCut, start, count } = await this.#find(profile, node, (all) => {
      if (wanted.size > 0) return { start: 0, entries: all.filter(([id]) => wanted.has(id)) }
      if (isPaged) return pageOf(all, rsm, maxItems)
      const from = maxItems === undefined ? 0 : Math.max(0, all.length - maxItems)
      return { start: from, entries: all.slice(from) }
    })
    if (wanted.size > 0 || (!isPaged && !isCut)) return this.#element(profile, node, items, undefined)
    const index = items.length === 0 ? undefined : start
    return this.#element(profile, node, items, rsmElement({ first: items[0]?.id, last: items.at(-1)?.id, index, count }))
  }

  /** Items for other modules, which have room for all. */
  async items(
    owner: BareJid,
    name: string,
    { ids, max }: { readonly ids?: readonly string[]; readonly max?: number },
  ): Promise<readonly Item[]> {
    const node = (await this.#parts.nodes.host(owner)).nodes.get(name)
    if (node === undefined) return []
    const wanted = ids === undefined ? undefined : new Set(ids)
    const select: Select = (all) => {
      const entries = wanted === undefined ? all : all.filter(([id]) => wanted.has(id))
      return { start: 0, entries: max === undefined ? entries : entries.slice(Math.max(0, entries.length - max)) }
    }
    return (await this.#find(undefined, node, select, Number.POSITIVE_INFINITY)).items
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
      if (stored?.kind !== 'item') return undefined
      const item = itemOf(stored)
      contents.remember(item, stored.payload)
      return isOver(item) ? undefined : item
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

  async #find(
    profile: HostProfile | undefined,
    node: Node,
    select: Select,
    maxChars = MAX_ANSWER_CHARS,
  ): Promise<Found & { readonly start: number; readonly count: number }> {
    const read = async () => {
      const contents = await this.#parts.nodes.contents(node)
      const all = this.#current(profile, node, contents)
      const { start, entries } = select(all)
      const found = await this.#read(node, contents.last, entries, maxChars)
      return { ...found, start, count: all.length, isMissing: !found.isCut && found.items.length < entries.length }
    }
    const found = await read()
    if (!found.isMissing) return found
    // Some were being published anew: when that is done they are there, or gone for good.
    await this.#parts.nodes.inTurn(node.facts.owner, node.name, () => undefined)
    return read()
  }

  async #read(node: Node, last: Item | undefined, entries: readonly Entry[], maxChars: number): Promise<Found> {
    const items: Item[] = []
    let chars = 0
    for (let at = 0, size = FIRST_PAGE; at < entries.length; ) {
      const page = entries.slice(at, at + size)
      at += page.length
      if (page.length === 1 && page[0]?.[0] === last?.id && last !== undefined) {
        items.push(last)
        continue
      }
      for (const stored of await this.#load(node, page)) {
        if (chars > maxChars) return { items, isCut: true }
        chars += stored.payload?.length ?? 0
        items.push(itemOf(stored))
      }
      if (chars > maxChars && at < entries.length) return { items, isCut: true }
      size = Math.min(PAGE, Math.max(FIRST_PAGE, Math.floor((PAGE_CHARS * at) / (chars + 1))))
    }
    return { items, isCut: false }
  }

  /** One listing where they stand together, else one by one. */
  async #load({ facts: { owner }, name }: Node, entries: readonly Entry[]): Promise<readonly StoredItem[]> {
    const first = entries[0]?.[1].seq ?? 0
    const last = entries.at(-1)?.[1].seq ?? 0
    if (last - first < 2 * entries.length) {
      const wanted = new Set(entries.map(([id]) => id))
      const listed = await this.#parts.nodes.list(owner, itemsOf(name), itemKey(name, first - 1), last - first + 1)
      return listed.flatMap(({ value }) => (value.kind === 'item' && wanted.has(value.id) ? [value] : []))
    }
    const found = await Promise.all(entries.map(([, { seq }]) => this.#parts.nodes.get(owner, itemKey(name, seq))))
    return found.flatMap((stored) => (stored?.kind === 'item' ? [stored] : []))
  }

  #element(profile: HostProfile, node: Node, items: readonly Item[], set: Element | undefined): Element {
    const listed = items.map((item) => itemElement(NS_PUBSUB, profile, node.facts, item, true))
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'items', { node: node.name }, ...listed), set)
  }
}

const itemOf = ({ id, payload, publisher, atMs }: StoredItem): Item => ({
  id,
  payload: payload === undefined ? undefined : parseElement(toWire(payload)),
  publisher,
  publishedAtMs: atMs,
})

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
): ReturnType<Select> => {
  const size = Math.min(max ?? maxItems ?? entries.length, entries.length)
  const placeOf = (id: string): number => {
    const found = entries.findIndex(([each]) => each === id)
    // XEP-0059 §2.2
    if (found === -1) throw new StanzaError('item-not-found')
    return found
  }
  if (before !== undefined) {
    const end = before === '' ? entries.length : placeOf(before)
    const start = Math.max(0, end - size)
    return { start, entries: entries.slice(start, end) }
  }
  if (index !== undefined && index > entries.length) throw new StanzaError('item-not-found')
  const start = after === undefined ? (index ?? 0) : placeOf(after) + 1
  return { start, entries: entries.slice(start, start + size) }
}
