import type { LogQuery } from '../shapes.ts'
import type { Database } from './database.ts'
import type { LogStore } from './log-store.ts'
import type { Names } from './names.ts'
import { isInside, type PlaceIndex, type Window } from './place-index.ts'
import { atOf, FLAG_INCOMING, FLAG_TEXT, FLAG_TRANSIENT, indexOfOwner, placeOf, stanzaOf } from './record.ts'
import type { Tail } from './tail.ts'

/** Entries on their way to the main thread, in columns: few objects to copy. */
export interface Page {
  readonly ids: number[]
  readonly times: number[]
  readonly peers: string[]
  /** Whether each came in. */
  readonly incoming: boolean[]
  readonly pending: boolean[]
  readonly transient: boolean[]
  readonly text: boolean[]
  readonly taken: (number | undefined)[]
  readonly stanzas: string[]
}

interface Choice {
  readonly id: number
  readonly isPending: boolean
}

/** A window with everything in it. */
export const EVERYTHING: Window = { after: 0, before: Infinity, fromMs: -Infinity, untilMs: Infinity, peer: undefined }

/** The log as its owners read it: the index on disk first, then what is in memory, or the other way round. */
export class LogReader {
  readonly #store: LogStore
  readonly #index: PlaceIndex
  readonly #names: Names
  readonly #record
  readonly #pendingBetween
  readonly #pendingAfter
  readonly #countPending
  readonly #isPending
  readonly #takenAt

  constructor(db: Database, store: LogStore, index: PlaceIndex, names: Names) {
    this.#store = store
    this.#index = index
    this.#names = names
    this.#record = db.prepare<[number], { record: Buffer }>('SELECT record FROM log WHERE id = ?')
    this.#pendingBetween = db.prepare<[number, number, number], { id: number }>(
      'SELECT id FROM pending WHERE owner = ? AND id BETWEEN ? AND ?',
    )
    this.#pendingAfter = db.prepare<[number, number], { id: number }>(
      'SELECT id FROM pending WHERE owner = ? AND id > ? ORDER BY id',
    )
    this.#countPending = db.prepare<[number], { count: number }>('SELECT count(*) AS count FROM pending WHERE owner = ?')
    this.#takenAt = db.prepare<[number, number], { at: number }>('SELECT at_ms AS at FROM taken WHERE owner = ? AND id = ?')
    this.#isPending = db.prepare<[number, number], { id: number }>('SELECT id FROM pending WHERE owner = ? AND id = ?')
  }

  get(owner: number, id: number): Page {
    const found = this.#store.find(owner, id)
    if (found !== undefined) return this.#page(owner, [{ id, isPending: found[0].isPending(found[1]) }])
    if (!this.#index.has(owner, id)) return this.#page(owner, [])
    return this.#page(owner, [{ id, isPending: this.#indexedPending(owner, id, id).has(id) }])
  }

  range(owner: number, query: LogQuery, peer: number | undefined): Page {
    const window: Window = {
      after: query.after ?? EVERYTHING.after,
      before: query.before ?? EVERYTHING.before,
      fromMs: query.fromMs ?? EVERYTHING.fromMs,
      untilMs: query.untilMs ?? EVERYTHING.untilMs,
      peer,
    }
    const order = { isBackwards: query.backwards === true, skipsPending: false }
    return this.#page(owner, this.choose(owner, window, query.limit, order))
  }

  pending(owner: number, after: number, limit: number): Page {
    const choices: Choice[] = []
    if (limit > 0) {
      for (const { id } of this.#pendingAfter.iterate(owner, after)) {
        if (!this.#store.isCleared(owner, id)) choices.push({ id, isPending: true })
        if (choices.length >= limit) break
      }
    }
    for (const tail of this.#tails()) {
      for (const at of tail.entriesOf(owner)) {
        if (choices.length >= limit) break
        const id = tail.ids[at] ?? 0
        if (id > after && tail.isPending(at)) choices.push({ id, isPending: true })
      }
    }
    return this.#page(owner, choices)
  }

  countPending(owner: number): number {
    const { marks, pass } = this.#store.state
    let count = this.#countPending.get(owner)?.count ?? 0
    for (const id of new Set([...marks.of(owner), ...(pass?.marks.of(owner) ?? [])])) {
      if (this.#isPending.get(owner, id) !== undefined) count -= 1
    }
    for (const tail of this.#tails()) count += tail.entriesOf(owner).filter((at) => tail.isPending(at)).length
    return count
  }

  /** An owner's entries inside the window, in order, at most `limit`; without those pending if told. */
  choose(
    owner: number,
    window: Window,
    limit: number,
    order: { readonly isBackwards: boolean; readonly skipsPending: boolean },
  ): Choice[] {
    const { isBackwards, skipsPending } = order
    const choices: Choice[] = []
    if (limit <= 0) return choices
    const tails = this.#tails()
    if (!isBackwards) this.#chooseIndexed(choices, owner, window, limit, order)
    for (const tail of isBackwards ? tails.reverse() : tails) {
      const entries = tail.entriesOf(owner)
      for (const at of isBackwards ? entries.reverse() : entries) {
        if (choices.length >= limit) return choices
        const [id, atMs, peer] = [tail.ids[at] ?? 0, tail.times[at] ?? 0, tail.peers[at] ?? 0]
        const isPending = tail.isPending(at)
        if (isInside(window, id, atMs, peer) && !(skipsPending && isPending)) choices.push({ id, isPending })
      }
    }
    if (isBackwards && choices.length < limit) this.#chooseIndexed(choices, owner, window, limit, order)
    return choices
  }

  #chooseIndexed(
    choices: Choice[],
    owner: number,
    window: Window,
    limit: number,
    { isBackwards, skipsPending }: { readonly isBackwards: boolean; readonly skipsPending: boolean },
  ): void {
    const skipped = skipsPending ? this.#indexedPending(owner, 0, Infinity) : undefined
    const ids: number[] = []
    this.#index.visit(owner, window, isBackwards, (id) => {
      if (skipped?.has(id) !== true) ids.push(id)
      return choices.length + ids.length < limit
    })
    const [first, last] = [ids.at(isBackwards ? -1 : 0) ?? 0, ids.at(isBackwards ? 0 : -1) ?? 0]
    const pending = skipsPending ? undefined : this.#indexedPending(owner, first, last)
    for (const id of ids) choices.push({ id, isPending: pending?.has(id) ?? false })
  }

  #indexedPending(owner: number, first: number, last: number): ReadonlySet<number> {
    const ids = new Set<number>()
    for (const { id } of this.#pendingBetween.iterate(owner, first, last)) {
      if (!this.#store.isCleared(owner, id)) ids.add(id)
    }
    return ids
  }

  #tails(): Tail[] {
    const { active, pass } = this.#store.state
    return pass === undefined ? [active] : [pass.frozen, active]
  }

  #page(owner: number, choices: readonly Choice[]): Page {
    const page: Page = {
      ids: [],
      times: [],
      peers: [],
      incoming: [],
      pending: [],
      transient: [],
      text: [],
      taken: [],
      stanzas: [],
    }
    for (const { id, isPending } of choices) {
      const record = this.#record.get(id)?.record
      const index = record === undefined ? -1 : indexOfOwner(record, owner)
      if (record === undefined || index < 0) continue
      const { peer, flags } = placeOf(record, index)
      page.ids.push(id)
      page.times.push(atOf(record))
      page.peers.push(this.#names.textOf(peer))
      page.incoming.push((flags & FLAG_INCOMING) !== 0)
      page.pending.push(isPending)
      page.transient.push((flags & FLAG_TRANSIENT) !== 0)
      page.text.push((flags & FLAG_TEXT) !== 0)
      page.taken.push(this.#takenAt.get(owner, id)?.at)
      page.stanzas.push(stanzaOf(record))
    }
    return page
  }
}
