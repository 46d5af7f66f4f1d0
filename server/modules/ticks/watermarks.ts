import type { Clock } from '#server/base/clock.ts'
import { BoundedCache } from '#server/core/bounded-cache.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Documents, LogId } from '#storage/shapes.ts'

/** One step forward: up to which entry, and when. */
export interface Move {
  readonly id: LogId
  readonly atMs: number
}

/** How a watermark came to be where it is, the latest moves only. */
export interface Moves {
  /** Oldest first, and never empty. */
  readonly moves: readonly Move[]
  /** Earlier ones are forgotten. */
  readonly isCut?: true
}

/** How far an account has read a conversation (`read`), and how far its peer says that it has (`theirs`). */
export interface Progress {
  readonly read?: Moves
  readonly theirs?: Moves
}

/** Whose reading a watermark is about. */
export type Side = keyof Progress

/** A screen full of messages is mostly read in fewer; each is 40 bytes in every document. */
const MAX_MOVES = 16
/** Documents read at once. */
const PAGE = 1_000
/** Accounts whose number of watermarks is known without counting. */
const COUNTED = { maxEntries: 10_000, maxAgeMs: 3_600_000 }

/** Where a watermark is; 0 while it is at the beginning. */
export const placeOf = (moves: Moves | undefined): LogId => moves?.moves.at(-1)?.id ?? 0

/** When a watermark first passed this entry: `undefined` while it has not, and without a time when that is forgotten. */
export const passedAt = (moves: Moves | undefined, id: LogId): { readonly atMs: number | undefined } | undefined => {
  const index = moves?.moves.findIndex((move) => move.id >= id) ?? -1
  const move = moves?.moves[index]
  if (move === undefined) return undefined
  const isForgotten = index === 0 && moves?.isCut === true && move.id !== id
  return { atMs: isForgotten ? undefined : move.atMs }
}

const moved = (before: Moves | undefined, move: Move): Moves => {
  const moves = [...(before?.moves ?? []), move]
  return moves.length > MAX_MOVES || before?.isCut === true ? { moves: moves.slice(-MAX_MOVES), isCut: true } : { moves }
}

/** How far each account and its peers have read their conversations; durable, and forward only. */
export class Watermarks {
  readonly #store: Documents<Progress>
  readonly #max: number
  readonly #counts: BoundedCache<BareJid, number>

  constructor(store: Documents<Progress>, clock: Clock, max: number) {
    this.#store = store
    this.#max = max
    this.#counts = new BoundedCache(clock, COUNTED)
  }

  async of(account: BareJid, peer: string): Promise<Progress> {
    return (await this.#store.get(account, peer)) ?? {}
  }

  /** Moves a watermark forward; tells whether it did, once that is durable. */
  async move(account: BareJid, peer: string, side: Side, move: Move): Promise<boolean> {
    for (;;) {
      const before = await this.#store.getRevised(account, peer)
      const now = before?.value ?? {}
      if (placeOf(now[side]) >= move.id) return false
      if (before === undefined) await this.#makeRoom(account)
      // Two devices may move it at once: who comes second looks again.
      if (await this.#store.putIf(account, peer, { ...now, [side]: moved(now[side], move) }, before?.revision)) return true
    }
  }

  /** Lets go of what is in memory of an account. */
  leave(account: BareJid): void {
    this.#counts.delete(account)
  }

  async forget(account: BareJid): Promise<void> {
    this.#counts.delete(account)
    await this.#store.deleteOwner(account)
  }

  /** One more conversation: with too many, the tenth that was quiet for longest is forgotten. */
  async #makeRoom(account: BareJid): Promise<void> {
    const count = this.#counts.get(account) ?? (await this.#all(account)).length
    if (count < this.#max) return this.#counts.set(account, count + 1)
    const all = (await this.#all(account)).toSorted((a, b) => a.atMs - b.atMs)
    const doomed = all.slice(0, all.length - this.#max + Math.ceil(this.#max / 10))
    await this.#store.putAll(
      account,
      doomed.map(({ key }) => ({ key, value: undefined })),
    )
    this.#counts.set(account, all.length - doomed.length + 1)
  }

  async #all(account: BareJid): Promise<readonly { readonly key: string; readonly atMs: number }[]> {
    const all: { readonly key: string; readonly atMs: number }[] = []
    for (let after: string | undefined; ; ) {
      const page = await this.#store.list(account, { ...(after === undefined ? {} : { after }), limit: PAGE })
      for (const { key, value } of page)
        all.push({ key, atMs: Math.max(value.read?.moves.at(-1)?.atMs ?? 0, value.theirs?.moves.at(-1)?.atMs ?? 0) })
      after = page.at(-1)?.key
      if (after === undefined || page.length < PAGE) return all
    }
  }
}
