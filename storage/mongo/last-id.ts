import type { LogId } from '../shapes.ts'
import type { Collections, MetaDocument } from './collections.ts'
import { inTime } from './in-time.ts'
import { beginningWith } from './keys.ts'

/** Ids that are promised ahead at once: five seconds' worth, so that a busy process writes a bound that often and a quiet one with every message. */
const AHEAD = 5000 * 8192
const LOG = 'log'

/**
 * The highest id ever, also of entries that are gone, without an index on ids: each process writes a bound that its ids stay below, some way ahead, and on a clean end
 * the last it gave. After a crash the next process starts at most that far ahead of the clock.
 */
export class LastId {
  readonly #collections: Collections
  readonly #own: string
  #last: LogId
  #bound = 0

  private constructor(collections: Collections, instance: string, last: LogId) {
    this.#collections = collections
    this.#own = `${LOG} ${instance}`
    this.#last = last
  }

  /** Reads where the log stands, and takes over the bounds that other processes left. One that still runs writes its own again. */
  static async open(collections: Collections, instance: string): Promise<LastId> {
    const { meta } = collections
    const bounds = await meta.find({ _id: beginningWith(`${LOG} `) }).toArray()
    const last = Math.max(0, (await meta.findOne({ _id: LOG }))?.last ?? 0, ...bounds.map((bound) => bound.last ?? 0))
    if (bounds.length > 0) {
      await meta.updateOne({ _id: LOG }, { $max: { last } }, { upsert: true })
      for (const { _id, last: seen } of bounds) if (seen !== undefined) await meta.deleteOne({ _id, last: seen })
    }
    return new LastId(collections, instance, last)
  }

  get value(): LogId {
    return this.#last
  }

  /** The id is given. */
  give(id: LogId): void {
    this.#last = Math.max(this.#last, id)
  }

  /** Writes a bound ahead of this id when it needs one; to be awaited before an entry with this id counts as written. */
  async cover(id: LogId): Promise<void> {
    if (id <= this.#bound) return
    const bound = Math.min(id + AHEAD, Number.MAX_SAFE_INTEGER)
    const bounded: Partial<MetaDocument> = { last: bound }
    const { meta, answerMs } = this.#collections
    await inTime(answerMs, () => meta.updateOne({ _id: this.#own }, { $max: bounded }, { upsert: true }))
    this.#bound = bound
  }

  /** Leaves behind the last id instead of a bound. */
  async close(): Promise<void> {
    if (this.#bound === 0) return
    const { meta, answerMs } = this.#collections
    await inTime(answerMs, () => meta.updateOne({ _id: LOG }, { $max: { last: this.#last } }, { upsert: true }))
    await inTime(answerMs, () => meta.deleteOne({ _id: this.#own }))
  }
}
