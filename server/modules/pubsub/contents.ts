import type { Address, BareJid, Jid } from '#stanzas/jid.ts'
import type { Item } from './api.ts'
import type { NodeConfig } from './node-config.ts'
import type { SubscriptionOptions } from './subscription-options.ts'

/** Where an item is in the order of publication, and since when. */
export interface Place {
  readonly seq: number
  readonly atMs: number
}

/** One subscriber of a node; an address has one subscription at most (XEP-0060 §6.1.6). */
export interface Subscription {
  readonly address: Address
  readonly state: 'subscribed' | 'pending'
  readonly options: SubscriptionOptions
}

/** What changes often at a node: which items it has, in the order of publication, and who is subscribed. */
export class Contents {
  readonly #places: Map<string, Place>
  readonly #subscriptions = new Map<Jid, Subscription>()
  /** The same by account: who may read is asked for each of thousands that are told of something. */
  readonly #byAccount = new Map<BareJid, Set<Subscription>>()
  /** Of ids and addresses. */
  #chars = 0
  #lastSeq: number
  #lastId: string | undefined
  #last: Item | undefined
  #lastBytes = 0

  constructor(
    places: readonly (readonly [id: string, place: Place])[],
    subscriptions: readonly (readonly [Jid, Subscription])[],
  ) {
    this.#places = new Map(places)
    for (const [id] of places) this.#chars += id.length
    for (const [, subscription] of subscriptions) this.subscribe(subscription)
    const last = places.at(-1)
    this.#lastId = last?.[0]
    this.#lastSeq = last?.[1].seq ?? 0
  }

  /** By id, oldest first. */
  get places(): ReadonlyMap<string, Place> {
    return this.#places
  }

  get subscriptions(): ReadonlyMap<Jid, Subscription> {
    return this.#subscriptions
  }

  /** A subscription begins, or is another now. */
  subscribe(subscription: Subscription): void {
    const { jid, bare } = subscription.address
    this.unsubscribe(subscription.address)
    this.#subscriptions.set(jid, subscription)
    const own = this.#byAccount.get(bare)
    if (own === undefined) this.#byAccount.set(bare, new Set([subscription]))
    else own.add(subscription)
    this.#chars += jid.length
  }

  unsubscribe({ jid, bare }: Address): void {
    const subscription = this.#subscriptions.get(jid)
    if (subscription === undefined) return
    this.#subscriptions.delete(jid)
    const own = this.#byAccount.get(bare)
    own?.delete(subscription)
    if (own?.size === 0) this.#byAccount.delete(bare)
    this.#chars -= jid.length
  }

  /** How much memory it takes, in entries of some 200 bytes. */
  get weight(): number {
    const bytes = 2 * this.#chars + this.#lastBytes
    return 1 + this.#places.size + this.#subscriptions.size + Math.ceil(bytes / 200)
  }

  /** The item published last, once it was read; of a node that keeps none, the only one there is (XEP-0060 §12.10). */
  get last(): Item | undefined {
    return this.#last
  }

  /** Keeps the newest item at hand; `text` is its payload. */
  remember(item: Item | undefined, text = ''): void {
    this.#last = item
    this.#lastBytes = memoryOf(text)
  }

  get lastId(): string | undefined {
    return this.#lastId
  }

  /** The number of the item that is published next; the `nth` of several. */
  nextSeq(nth: number): number {
    return this.#lastSeq + 1 + nth
  }

  /** The item is the newest now, whether or not it was there before. */
  add(item: Item, place: Place, text: string): void {
    this.#drop(item.id)
    this.#places.set(item.id, place)
    this.#chars += item.id.length
    this.#lastSeq = place.seq
    this.#lastId = item.id
    this.remember(item, text)
  }

  remove(ids: Iterable<string>): void {
    for (const id of ids) {
      this.#drop(id)
      if (id === this.#last?.id) this.remember(undefined)
    }
    if (this.#lastId === undefined || this.#places.has(this.#lastId)) return
    this.#lastId = undefined
    for (const id of this.#places.keys()) this.#lastId = id
  }

  #drop(id: string): void {
    if (this.#places.delete(id)) this.#chars -= id.length
  }

  clear(): void {
    for (const id of this.#places.keys()) this.#chars -= id.length
    this.#places.clear()
    this.#lastId = undefined
    this.remember(undefined)
  }

  /** The ids whose time is over (`pubsub#item_expire`); they are the oldest. */
  expired({ itemExpire }: NodeConfig, nowMs: number): readonly string[] {
    if (itemExpire === 'max' || itemExpire === 0) return []
    const ids: string[] = []
    for (const [id, { atMs }] of this.#places) {
      if (atMs + itemExpire * 1000 > nowMs) break
      ids.push(id)
    }
    return ids
  }

  /** The subscription that counts for this address: its own, or that of its bare JID. */
  subscriptionOf(address: Address, nowMs: number): Subscription | undefined {
    const found = this.#subscriptions.get(address.jid) ?? this.#subscriptions.get(address.bare)
    return found === undefined || isOver(found, nowMs) ? undefined : found
  }

  /** Whether any address of this account is subscribed, as access asks (XEP-0060 §6.5.1). */
  isSubscribed(address: Address, nowMs: number): boolean {
    const own = this.subscriptionOf(address, nowMs)
    if (own !== undefined) return own.state === 'subscribed'
    for (const each of this.#byAccount.get(address.bare) ?? [])
      if (each.state === 'subscribed' && !isOver(each, nowMs)) return true
    return false
  }
}

/** What an element takes beside its text. */
const ELEMENT_BYTES = 250

/** A payload is kept as elements: of many small ones, many times its text. */
const memoryOf = (text: string): number => {
  let bytes = 2 * text.length
  for (let at = text.indexOf('<'); at !== -1; at = text.indexOf('<', at + 1)) if (text[at + 1] !== '/') bytes += ELEMENT_BYTES
  return bytes
}

/** Whether its lease has ended (XEP-0060 §12.19). */
export const isOver = ({ options: { expiresAtMs } }: Subscription, nowMs: number): boolean =>
  expiresAtMs !== undefined && expiresAtMs <= nowMs
