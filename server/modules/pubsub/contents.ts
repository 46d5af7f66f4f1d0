import type { Address, Jid } from '#stanzas/jid.ts'
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
  readonly subscriptions: Map<Jid, Subscription>
  #lastSeq: number
  #lastId: string | undefined
  #last: Item | undefined
  #lastChars = 0

  constructor(
    places: readonly (readonly [id: string, place: Place])[],
    subscriptions: readonly (readonly [Jid, Subscription])[],
  ) {
    this.#places = new Map(places)
    this.subscriptions = new Map(subscriptions)
    const last = places.at(-1)
    this.#lastId = last?.[0]
    this.#lastSeq = last?.[1].seq ?? 0
  }

  /** By id, oldest first. */
  get places(): ReadonlyMap<string, Place> {
    return this.#places
  }

  /** How much memory it takes, in entries of some 200 bytes. */
  get weight(): number {
    return 1 + this.#places.size + this.subscriptions.size + Math.ceil(this.#lastChars / 200)
  }

  /** The item published last, once it was read; of a node that keeps none, the only one there is (XEP-0060 §12.10). */
  get last(): Item | undefined {
    return this.#last
  }

  /** Keeps the newest item at hand; `chars` is the length of its payload as text. */
  remember(item: Item | undefined, chars = 0): void {
    this.#last = item
    this.#lastChars = chars
  }

  get lastId(): string | undefined {
    return this.#lastId
  }

  /** The number of the item that is published next; the `nth` of several. */
  nextSeq(nth: number): number {
    return this.#lastSeq + 1 + nth
  }

  /** The item is the newest now, whether or not it was there before. */
  add(item: Item, place: Place, chars: number): void {
    this.#places.delete(item.id)
    this.#places.set(item.id, place)
    this.#lastSeq = place.seq
    this.#lastId = item.id
    this.remember(item, chars)
  }

  remove(ids: Iterable<string>): void {
    for (const id of ids) {
      this.#places.delete(id)
      if (id === this.#last?.id) this.remember(undefined)
    }
    if (this.#lastId === undefined || this.#places.has(this.#lastId)) return
    this.#lastId = undefined
    for (const id of this.#places.keys()) this.#lastId = id
  }

  clear(): void {
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
    const found = this.subscriptions.get(address.jid) ?? this.subscriptions.get(address.bare)
    return found === undefined || isOver(found, nowMs) ? undefined : found
  }

  /** Whether any address of this account is subscribed, as access asks (XEP-0060 §6.5.1). */
  isSubscribed(address: Address, nowMs: number): boolean {
    const own = this.subscriptionOf(address, nowMs)
    if (own !== undefined) return own.state === 'subscribed'
    for (const each of this.subscriptions.values())
      if (each.address.bare === address.bare && each.state === 'subscribed' && !isOver(each, nowMs)) return true
    return false
  }
}

/** Whether its lease has ended (XEP-0060 §12.19). */
export const isOver = ({ options: { expiresAtMs } }: Subscription, nowMs: number): boolean =>
  expiresAtMs !== undefined && expiresAtMs <= nowMs
