import type { Mark } from './marks.ts'
import { POSTING_BYTES, type Posting, packer } from './postings.ts'
import { FLAG_PENDING, FLAG_REMOVED } from './record.ts'

/**
 * Entries that no index on disk holds yet, in columns, as they came. Each owner's entries are chained from the newest id back,
 * so that adding one costs a few stores and reading an owner's costs what that owner has. Several processes count at a time, so some come behind a higher id.
 */
export class Tail {
  #capacity = 4096
  ids = new Float64Array(this.#capacity)
  times = new Float64Array(this.#capacity)
  peers = new Uint32Array(this.#capacity)
  flags = new Uint8Array(this.#capacity)
  taken = new Float64Array(this.#capacity)
  #owners = new Uint32Array(this.#capacity)
  #previous = new Int32Array(this.#capacity)
  readonly #newest = new Map<number, number>()
  /** The highest id up to each place, for looking up by halving. */
  #highs = new Float64Array(this.#capacity)
  /** Where the records begin that came behind a higher id. */
  readonly #late = new Map<number, number>()
  #length = 0

  get length(): number {
    return this.#length
  }

  get lastId(): number {
    return this.#length === 0 ? 0 : (this.#highs[this.#length - 1] ?? 0)
  }

  /** Adds an entry; those of one record follow each other. */
  add(id: number, atMs: number, owner: number, peer: number, flags: number): void {
    if (this.#length === this.#capacity) this.#grow()
    const at = this.#length
    this.ids[at] = id
    this.times[at] = atMs
    this.peers[at] = peer
    this.flags[at] = flags
    this.taken[at] = Number.NaN
    this.#owners[at] = owner
    this.#length = at + 1
    const high = at === 0 ? 0 : (this.#highs[at - 1] ?? 0)
    this.#highs[at] = Math.max(id, high)
    if (id < high && !this.#late.has(id)) this.#late.set(id, at)
    this.#chain(at, id, owner)
  }

  #chain(at: number, id: number, owner: number): void {
    let newer = -1
    let older = this.#newest.get(owner) ?? -1
    while (older >= 0 && (this.ids[older] ?? 0) > id) {
      newer = older
      older = this.#previous[older] ?? -1
    }
    this.#previous[at] = older
    if (newer < 0) this.#newest.set(owner, at)
    else this.#previous[newer] = at
  }

  /** Whether a record of this id ever came. */
  has(id: number): boolean {
    return this.ids[this.#beginningOf(id)] === id
  }

  /** Where the owner's entry of this id is, -1 when there is none. */
  find(owner: number, id: number): number {
    for (let at = this.#beginningOf(id); at < this.#length && this.ids[at] === id; at += 1) {
      if (this.#owners[at] === owner) return this.#newest.has(owner) && !this.#isRemoved(at) ? at : -1
    }
    return -1
  }

  /** Where the record of this id begins, if it came. */
  #beginningOf(id: number): number {
    const late = this.#late.size === 0 ? undefined : this.#late.get(id)
    if (late !== undefined) return late
    let [low, high] = [0, this.#length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#highs[middle] ?? 0) < id) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Where an owner's entries behind this id are, oldest first. */
  entriesOf(owner: number, after = 0): number[] {
    const found: number[] = []
    for (let at = this.#newest.get(owner) ?? -1; at >= 0 && (this.ids[at] ?? 0) > after; at = this.#previous[at] ?? -1) {
      if (!this.#isRemoved(at)) found.push(at)
    }
    return found.reverse()
  }

  /** Shows a visitor where an owner's entries are, newest first, until it says `false`. */
  visitBackwards(owner: number, visitor: (at: number) => boolean): void {
    for (let at = this.#newest.get(owner) ?? -1; at >= 0; at = this.#previous[at] ?? -1) {
      if (!this.#isRemoved(at) && !visitor(at)) return
    }
  }

  /** The entry at a place. */
  postingAt(at: number): Posting {
    return {
      id: this.ids[at] ?? 0,
      atMs: this.times[at] ?? 0,
      peer: this.peers[at] ?? 0,
      flags: this.flags[at] ?? 0,
      takenAtMs: this.taken[at] ?? Number.NaN,
    }
  }

  /** The entries at these places as an index holds them. */
  pack(places: readonly number[]): Buffer {
    const { packed, put } = packer(places.length)
    let to = 0
    for (const at of places) {
      const id = this.ids[at] ?? 0
      put(to, id, this.times[at] ?? 0, this.peers[at] ?? 0, this.flags[at] ?? 0, this.taken[at] ?? Number.NaN)
      to += POSTING_BYTES
    }
    return packed
  }

  isPending(at: number): boolean {
    return ((this.flags[at] ?? 0) & FLAG_PENDING) !== 0
  }

  clearPending(at: number, takenAtMs: number): void {
    this.flags[at] = (this.flags[at] ?? 0) & ~FLAG_PENDING
    this.taken[at] = takenAtMs
  }

  remove(at: number): void {
    this.flags[at] = (this.flags[at] ?? 0) | FLAG_REMOVED
  }

  /** The entries up to this id, and those behind it. */
  split(last: number): readonly [before: Tail, behind: Tail] {
    const parts = [new Tail(), new Tail()] as const
    for (let at = 0; at < this.#length; at += 1) {
      const id = this.ids[at] ?? 0
      const part = parts[id > last ? 1 : 0]
      part.add(id, this.times[at] ?? 0, this.#owners[at] ?? 0, this.peers[at] ?? 0, this.flags[at] ?? 0)
      part.taken[part.#length - 1] = this.taken[at] ?? Number.NaN
    }
    return parts
  }

  /** The marks that were taken off entries here. */
  marks(): Mark[] {
    const marks: Mark[] = []
    for (let at = 0; at < this.#length; at += 1) {
      const takenAtMs = this.taken[at] ?? Number.NaN
      if (!Number.isNaN(takenAtMs)) marks.push([this.#owners[at] ?? 0, this.ids[at] ?? 0, takenAtMs])
    }
    return marks
  }

  /** Owners that have entries here, ascending. */
  owners(): number[] {
    return [...this.#newest.keys()].sort((a, b) => a - b)
  }

  /** Hides an owner's entries: an index on disk has them now. */
  drop(owner: number): void {
    this.#newest.delete(owner)
  }

  #isRemoved(at: number): boolean {
    return ((this.flags[at] ?? 0) & FLAG_REMOVED) !== 0
  }

  #grow(): void {
    const capacity = this.#capacity * 2
    const wider = <T extends Float64Array | Uint32Array | Int32Array | Uint8Array>(into: T, from: T): T => {
      into.set(from)
      return into
    }
    this.ids = wider(new Float64Array(capacity), this.ids)
    this.times = wider(new Float64Array(capacity), this.times)
    this.peers = wider(new Uint32Array(capacity), this.peers)
    this.flags = wider(new Uint8Array(capacity), this.flags)
    this.taken = wider(new Float64Array(capacity), this.taken)
    this.#owners = wider(new Uint32Array(capacity), this.#owners)
    this.#highs = wider(new Float64Array(capacity), this.#highs)
    this.#previous = wider(new Int32Array(capacity), this.#previous)
    this.#capacity = capacity
  }
}
