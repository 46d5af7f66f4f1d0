import type { Contents, Place } from './contents.ts'
import type { NodeConfig } from './node-config.ts'

/** Which items there are, oldest first. */
export type Places = Pick<ReadonlyMap<string, Place>, 'size' | 'has' | 'keys'>

/** What a node will have in it once what is to be written with each other is written. */
export class Upcoming implements Places {
  readonly #contents: Contents
  /** Of what the node has, what will not stand where it stands. */
  readonly #moved = new Set<string>()
  readonly #added = new Map<string, Place>()
  #count = 0

  constructor(contents: Contents) {
    this.#contents = contents
  }

  get size(): number {
    return this.#contents.places.size - this.#moved.size + this.#added.size
  }

  has(id: string): boolean {
    return this.#added.has(id) || this.#isUnmoved(id)
  }

  *keys(): MapIterator<string> {
    for (const id of this.#contents.places.keys()) if (!this.#moved.has(id)) yield id
    yield* this.#added.keys()
  }

  get(id: string): Place | undefined {
    return this.#added.get(id) ?? (this.#moved.has(id) ? undefined : this.#contents.places.get(id))
  }

  /** Whether the item is among those that nobody has written yet. */
  isNew(id: string): boolean {
    return this.#added.has(id)
  }

  /** The items whose time is over. */
  expired(config: NodeConfig, nowMs: number): readonly string[] {
    return this.#contents.expired(config, nowMs).filter((id) => !this.#moved.has(id))
  }

  nextSeq(): number {
    return this.#contents.nextSeq(this.#count++)
  }

  add(id: string, place: Place): void {
    this.remove(id)
    this.#added.set(id, place)
  }

  remove(id: string): void {
    if (!this.#added.delete(id) && this.#contents.places.has(id)) this.#moved.add(id)
  }

  #isUnmoved(id: string): boolean {
    return this.#contents.places.has(id) && !this.#moved.has(id)
  }
}
