import { addition, overflow, roomOf } from './changes.ts'
import type { Contents, Place } from './contents.ts'
import { refusal } from './errors.ts'
import type { Node } from './host.ts'
import type { Change } from './node-store.ts'
import type { Prepared, PublishPart } from './publish-part.ts'
import { itemKey, placeKey } from './stored.ts'
import { Upcoming } from './upcoming.ts'

/** A request whose items will be where they belong when the round is written. */
export interface Added {
  readonly part: PublishPart
  readonly prepared: readonly Prepared[]
  readonly places: readonly Place[]
  /** The items that go, since there is no room for them or their time is over. */
  readonly gone: readonly string[]
}

/** What is published at one node and written together; each request finds the node as those before it leave it. */
export class Round {
  readonly contents: Contents
  readonly #node: Node
  readonly #upcoming: Upcoming
  readonly #changes = new Map<string, Change>()

  constructor(node: Node, contents: Contents) {
    this.#node = node
    this.contents = contents
    this.#upcoming = new Upcoming(contents)
  }

  /** What has to be written; an item that came and went meanwhile is not in it. */
  get changes(): readonly Change[] {
    return [...this.#changes.values()]
  }

  add(part: PublishPart, prepared: readonly Prepared[], nowMs: number): Added {
    const { config, name } = this.#node.facts
    if (!config.persistItems) return { part, prepared, places: [], gone: [] }
    const upcoming = this.#upcoming
    const staying = new Set(prepared.map(({ item }) => item.id))
    const expired = upcoming.expired(config, nowMs).filter((id) => !staying.has(id))
    const evicted = overflow(upcoming, staying, expired, roomOf(config, part.profile))
    // XEP-0060 §7.1.3.4
    if (evicted.length > 0 && config.whenFull === 'reject') throw refusal('conflict', 'node-full')
    const gone = [...expired, ...evicted]
    for (const id of gone) {
      this.#take(id)
      this.#change({ key: placeKey(name, id), value: undefined })
    }
    const places = prepared.map((each): Place => {
      this.#take(each.item.id)
      const place = { seq: upcoming.nextSeq(), atMs: each.item.publishedAtMs }
      for (const change of addition(name, each, place)) this.#change(change)
      upcoming.add(each.item.id, place)
      return place
    })
    return { part, prepared, places, gone }
  }

  /** The item will not be where it is. */
  #take(id: string): void {
    const place = this.#upcoming.get(id)
    if (place === undefined) return
    const key = itemKey(this.#node.name, place.seq)
    if (this.#upcoming.isNew(id)) this.#changes.delete(key)
    else this.#change({ key, value: undefined })
    this.#upcoming.remove(id)
  }

  #change(change: Change): void {
    this.#changes.set(change.key, change)
  }
}
