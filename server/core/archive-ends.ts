import type { Clock } from '#server/base/clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Log, LogId } from '#storage/shapes.ts'
import { BoundedCache } from './bounded-cache.ts'

/** Which entry, and of when. */
export interface EntryPlace {
  readonly id: LogId
  readonly atMs: number
}

/** The oldest and the newest entry of an account's archive (XEP-0313 §5). */
export interface Ends {
  readonly first: EntryPlace
  readonly last: EntryPlace
}

/** Some 4 MB. */
const LIMITS = { maxEntries: 20_000, maxAgeMs: 600_000 }

/**
 * Where the archives of accounts begin and end, which every client is told that comes back (XEP-0386). It is kept in memory while nobody else writes
 * to the log: what is added moves the end, and what is removed makes it unknown.
 */
export class ArchiveEnds {
  readonly #log: Pick<Log, 'range'>
  readonly #isAlone: boolean
  readonly #known: BoundedCache<BareJid, { ends: Ends | undefined }>
  /** The latest read of each; one that something came between is not remembered. */
  readonly #reads = new Map<BareJid, Promise<Ends | undefined>>()

  constructor(log: Pick<Log, 'range'>, clock: Clock, isAlone: boolean) {
    this.#log = log
    this.#isAlone = isAlone
    this.#known = new BoundedCache(clock, LIMITS)
  }

  /** The ends of an account's archive, `undefined` when it is empty; without a promise when they are known. */
  of(owner: BareJid): Ends | undefined | Promise<Ends | undefined> {
    const known = this.#known.get(owner)
    return known === undefined ? this.#read(owner) : known.ends
  }

  #read(owner: BareJid): Promise<Ends | undefined> {
    const isCurrent = (): boolean => this.#reads.get(owner) === reading
    const reading: Promise<Ends | undefined> = Promise.all([
      this.#log.range(owner, { isTransient: false, limit: 1 }),
      this.#log.range(owner, { isTransient: false, limit: 1, backwards: true }),
    ]).then(
      ([[first], [last]]) => {
        const ends = first === undefined || last === undefined ? undefined : { first: placeOf(first), last: placeOf(last) }
        if (!isCurrent()) return ends
        this.#reads.delete(owner)
        this.#known.set(owner, { ends })
        return ends
      },
      (error: unknown) => {
        if (isCurrent()) this.#reads.delete(owner)
        throw error
      },
    )
    if (this.#isAlone) this.#reads.set(owner, reading)
    return reading
  }

  /** An entry is durable. */
  added(owner: BareJid, place: EntryPlace): void {
    if (this.#reads.size > 0) this.#reads.delete(owner)
    const known = this.#known.size === 0 ? undefined : this.#known.get(owner)
    if (known === undefined) return
    const { ends } = known
    if (ends === undefined) known.ends = { first: place, last: place }
    else if (place.id > ends.last.id) known.ends = { first: ends.first, last: place }
  }

  /** Something may be gone. */
  forget(owner: BareJid): void {
    this.#reads.delete(owner)
    this.#known.delete(owner)
  }
}

/** Without the stanza, which would be kept with it. */
const placeOf = ({ id, atMs }: EntryPlace): EntryPlace => ({ id, atMs })
