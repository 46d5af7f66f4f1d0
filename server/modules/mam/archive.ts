import { mayHaveMore } from '#server/core/newest.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Log, LogEntry, LogFilter, LogId, LogQuery } from '#storage/shapes.ts'
import type { ArchiveQuery } from './query.ts'

/** What a page is read from. */
export type Entries = Pick<Log, 'range' | 'count' | 'search'>

/** Part of what a query found, oldest first. */
export interface Page {
  readonly entries: readonly LogEntry[]
  /** Nothing that was asked for is left out (XEP-0313 §4.3.2). */
  readonly isComplete: boolean
  /** How much the query found in all, where that is known or was asked for. */
  readonly count: number | undefined
}

/** What is read at once. */
const SLICE = { limit: 100, maxBytes: 262_144 }
/** Entries that are asked for one by one and read at once. */
const IDS_AT_ONCE = 10
/** What is looked at for one page when the store cannot choose by itself: a tenth of a second. */
const MAX_LOOKED_AT = { entries: 20_000, bytes: 16_777_216 }

const within = <T>(key: string, value: T | undefined): object => (value === undefined ? {} : { [key]: value })

const highest = (a: LogId | undefined, b: LogId | undefined): LogId | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)
const lowest = (a: LogId | undefined, b: LogId | undefined): LogId | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)

/** The archive of an account (XEP-0313 §3.3.1): what the ledger keeps for it, but for what is only to be delivered. */
export class Archive {
  readonly #entries: Entries
  readonly #owner: BareJid

  constructor(entries: Entries, owner: BareJid) {
    this.#entries = entries
    this.#owner = owner
  }

  /** A page of at most so many bytes (but of one message at least); throws what a query for it is refused with. */
  async page(query: ArchiveQuery, maxBytes: number): Promise<Page> {
    const [page] = await Promise.all([this.#find(query, maxBytes), this.#all(namedIn(query))])
    return page
  }

  async #find(query: ArchiveQuery, maxBytes: number): Promise<Page> {
    if (query.ids !== undefined) return this.#pageOf(query, query.ids, maxBytes)
    if (query.max === 0) return this.#counted(query)
    const { entries, isComplete } = await this.#collect(query, maxBytes)
    return { entries, isComplete, count: isComplete && isUnbounded(query) ? entries.length : undefined }
  }

  async #get(id: LogId): Promise<LogEntry> {
    const [entry] = await this.#entries.range(this.#owner, { after: id - 1, before: id + 1, isTransient: false, limit: 1 })
    // XEP-0313 §4.1.3, §4.3.2
    if (entry === undefined) throw new StanzaError('item-not-found')
    return entry
  }

  #all(ids: readonly LogId[]): Promise<readonly LogEntry[]> {
    return Promise.all(ids.map((id) => this.#get(id)))
  }

  /** A page of entries that are asked for one by one; all must be there, and those that have no room are not held. */
  async #pageOf(query: ArchiveQuery, ids: readonly LogId[], maxBytes: number): Promise<Page> {
    if (query.words !== undefined) throw new StanzaError('feature-not-implemented', { text: 'ids and words do not go together' })
    const gathered = new Gathered(query.max, maxBytes)
    let count = 0
    let isComplete = true
    const inOrder = query.isBackwards ? ids.toReversed() : ids
    for (let at = 0; at < inOrder.length; at += IDS_AT_ONCE)
      for (const entry of await this.#all(inOrder.slice(at, at + IDS_AT_ONCE))) {
        if (!isWithin(entry, filterOf(query)) || !isWith(entry, query.with)) continue
        count++
        if (isWithin(entry, boundsOf(query))) isComplete = isComplete && gathered.add(entry)
      }
    return { entries: gathered.inOrder(query.isBackwards), isComplete, count }
  }

  /** XEP-0059 §2.7: how many there are, and none of them. */
  async #counted(query: ArchiveQuery): Promise<Page> {
    // What matches by words or by a resource would have to be read to be counted, so there the count is left out.
    if (query.words !== undefined || isOfOneResource(query)) return { entries: [], isComplete: false, count: undefined }
    const count = await this.#entries.count(this.#owner, filterOf(query))
    return { entries: [], isComplete: count === 0, count }
  }

  async #collect(query: ArchiveQuery, maxBytes: number): Promise<{ entries: readonly LogEntry[]; isComplete: boolean }> {
    const { isBackwards, max } = query
    const filter = filterOf(query)
    const isSieved = isOfOneResource(query)
    const gathered = new Gathered(max, maxBytes)
    let bounds = boundsOf(query)
    const lookedAt = { entries: 0, bytes: 0 }
    for (;;) {
      // One more than the page holds tells whether it is complete.
      const size = { ...SLICE, limit: isSieved ? SLICE.limit : Math.min(SLICE.limit, max + 1 - gathered.length) }
      const slice = await this.#read({ ...filter, ...bounds, ...size, backwards: isBackwards }, query.words)
      for (const entry of slice) {
        lookedAt.bytes += entry.stanza.length
        if ((!isSieved || isWith(entry, query.with)) && !gathered.add(entry))
          return { entries: gathered.inOrder(isBackwards), isComplete: false }
      }
      const last = slice.at(-1)
      if (last === undefined || !mayHaveMore(slice, size)) return { entries: gathered.inOrder(isBackwards), isComplete: true }
      lookedAt.entries += slice.length
      if (isSieved && (lookedAt.entries >= MAX_LOOKED_AT.entries || lookedAt.bytes >= MAX_LOOKED_AT.bytes))
        return { entries: enough(gathered).inOrder(isBackwards), isComplete: false }
      bounds = isBackwards ? { ...bounds, before: last.id } : { ...bounds, after: last.id }
    }
  }

  #read(query: LogQuery, words: string | undefined): Promise<readonly LogEntry[]> {
    return words === undefined ? this.#entries.range(this.#owner, query) : this.#entries.search(this.#owner, words, query)
  }
}

/** The entries of a page while it is being filled. */
class Gathered {
  readonly #entries: LogEntry[] = []
  readonly #max: number
  #bytesLeft: number

  constructor(max: number, maxBytes: number) {
    this.#max = max
    this.#bytesLeft = maxBytes
  }

  get length(): number {
    return this.#entries.length
  }

  /** Takes the entry if it has room for it. */
  add(entry: LogEntry): boolean {
    const { length } = this.#entries
    if (length >= this.#max || (length > 0 && entry.stanza.length > this.#bytesLeft)) return false
    this.#bytesLeft -= entry.stanza.length
    this.#entries.push(entry)
    return true
  }

  inOrder(isBackwards: boolean): readonly LogEntry[] {
    return isBackwards ? this.#entries.toReversed() : this.#entries
  }
}

/** A page with nothing in it would not tell where to go on. */
const enough = (gathered: Gathered): Gathered => {
  if (gathered.length === 0)
    throw new StanzaError('resource-constraint', { text: 'too many messages would have to be looked at: ask for a time, too' })
  return gathered
}

/** The ids that must be in the archive for the query to be answered at all. */
const namedIn = ({ afterId, beforeId, after, before }: ArchiveQuery): readonly LogId[] =>
  [afterId, beforeId, after, before].filter((id) => id !== undefined)

/** Nothing limits the page but its size, so that it is the whole set when it is complete. */
const isUnbounded = ({ after, before }: ArchiveQuery): boolean => after === undefined && before === undefined

/** XEP-0313 §4.1.1: only a full JID is more than the store can choose by. */
const isOfOneResource = (query: ArchiveQuery): boolean => query.with !== undefined && query.with.resourcepart !== ''

/** What belongs to the result set, whatever page of it is wanted. */
const filterOf = (query: ArchiveQuery): LogFilter => ({
  isTransient: false,
  ...within('after', query.afterId),
  ...within('before', query.beforeId),
  ...within('fromMs', query.fromMs),
  ...within('untilMs', query.untilMs),
  // The account's messages to itself, and no others, have itself as the other party.
  ...within('peer', query.with?.bare),
})

const boundsOf = (query: ArchiveQuery): Pick<LogFilter, 'after' | 'before'> => ({
  ...within('after', highest(query.afterId, query.after)),
  ...within('before', lowest(query.beforeId, query.before)),
})

const isWithin = ({ id, atMs, peer }: LogEntry, filter: LogFilter): boolean =>
  id > (filter.after ?? 0) &&
  id < (filter.before ?? Number.POSITIVE_INFINITY) &&
  atMs >= (filter.fromMs ?? Number.NEGATIVE_INFINITY) &&
  atMs <= (filter.untilMs ?? Number.POSITIVE_INFINITY) &&
  (filter.peer === undefined || filter.peer === peer)

/** XEP-0313 §4.1.1: a full JID matches the very sender or addressee. */
const isWith = (entry: LogEntry, address: Address | undefined): boolean => {
  if (address === undefined || address.resourcepart === '') return true
  const { from, to } = parseStanza(entry.stanza)
  return from?.jid === address.jid || to?.jid === address.jid
}
