import type { LogId, LogRecord } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import type { ExpiringDocument, LogDocument, StoredDocument } from './collections.ts'
import { part } from './keys.ts'
import { binaryOf, documentOf, logKey } from './log-document.ts'

export type Done = (error?: Error) => void

/** A document that replaces the one of its `_id`, and who waits for it. */
export interface Put {
  readonly collection: 'documents' | 'expiring'
  readonly document: StoredDocument | ExpiringDocument
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export interface Mark {
  readonly key: string
  readonly takenAtMs: number
}

export interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A batch this large holds back new writes: the database has stopped, and memory must not pay for it. */
const MAX_BYTES = 64 * 1024 * 1024
/** MongoDB keeps no document of more than 16 MiB, and keys take some of it. */
export const MAX_DOCUMENT_BYTES = 15 * 1024 * 1024
/** What a document takes beside its texts, about. */
const OVERHEAD_BYTES = 200

/** What one turn, or the time of one commit, has brought together, and who waits for it. */
export class Batch {
  /** Entries of recipients; they are written in front of the senders', see `entries`. */
  readonly #incoming: LogDocument[] = []
  readonly #outgoing: LogDocument[] = []
  readonly #incomingRecords: number[] = []
  readonly #outgoingRecords: number[] = []
  readonly #dones: Done[] = []
  /** Records that are refused alone, by their place among the dones. */
  readonly #refused = new Map<number, StorageError>()
  readonly marks: Mark[] = []
  readonly puts: Put[] = []
  /** Who waits for the batch to be over, well or not. */
  readonly waiters: Waiter[] = []
  /** Whose entries are in it. */
  readonly owners = new Set<string>()
  /** Who reads what this batch writes, as soon as it is written; what they write next must not be seen by that. */
  readonly readers = new Set<string>()
  readonly readings: Promise<unknown>[] = []
  /** Whether the next batch has to wait for these readings. */
  isReadFirst = false
  /** Whether an attempt to write it ended without an answer. */
  mayBeWritten = false
  isOver = false
  lastId: LogId = 0
  highestMarked: LogId = 0
  #lowestId: LogId = Number.POSITIVE_INFINITY
  #bytes = 0

  get isEmpty(): boolean {
    return this.#dones.length === 0 && this.marks.length === 0 && this.puts.length === 0 && this.waiters.length === 0
  }

  /** Whether a mark may be of an entry that is written with it. */
  get marksItsOwn(): boolean {
    return this.highestMarked >= this.#lowestId
  }

  /** How many operations change something. */
  get writes(): number {
    return this.#dones.length + this.marks.length + this.puts.length
  }

  /**
   * Recipients' entries first: one server writes them in this order, and a server that takes over has a beginning of it. So a sender's entry, by which a message that is
   * sent again is recognised, is never there without the recipient's.
   */
  get entries(): readonly LogDocument[] {
    return [...this.#incoming, ...this.#outgoing]
  }

  /** Tells whether it takes the record; whether another has its id, the database says, but for the highest so far. */
  append(record: LogRecord, lastId: LogId, done: Done): boolean {
    this.#dones.push(done)
    const refusal = this.#refusalOf(record, lastId)
    if (refusal !== undefined) {
      this.refuse(this.#dones.length - 1, refusal)
      return false
    }
    this.lastId = Math.max(this.lastId, record.id)
    this.#lowestId = Math.min(this.#lowestId, record.id)
    const stanza = binaryOf(record.stanza)
    const { places } = record
    for (const place of places) {
      const others = othersOf(record, place.owner, place.peer)
      const document = documentOf(record, place, stanza, others)
      if (place.direction === 'in') {
        this.#incoming.push(document)
        this.#incomingRecords.push(this.#dones.length - 1)
      } else {
        this.#outgoing.push(document)
        this.#outgoingRecords.push(this.#dones.length - 1)
      }
      this.owners.add(place.owner)
      this.#bytes += record.stanza.length + OVERHEAD_BYTES
    }
    return true
  }

  clear(owner: string, id: LogId, takenAtMs: number): void {
    this.marks.push({ key: logKey(owner, id), takenAtMs })
    this.highestMarked = Math.max(this.highestMarked, id)
    this.owners.add(owner)
  }

  /** Takes over the marks of another, which is not written. */
  inherit({ marks, highestMarked, owners }: Batch): void {
    this.marks.push(...marks)
    this.highestMarked = Math.max(this.highestMarked, highestMarked)
    for (const owner of owners) this.owners.add(owner)
  }

  put(put: Put): void {
    const bytes = put.document.v?.length ?? 0
    if (this.#bytes + bytes > MAX_BYTES) return put.reject(notKeepingUp())
    this.#bytes += bytes + OVERHEAD_BYTES
    this.puts.push(put)
  }

  /** Refuses the record to which this entry belongs. */
  refuseEntry(index: number, error: StorageError): void {
    const inside = index < this.#incoming.length
    const record = inside ? this.#incomingRecords[index] : this.#outgoingRecords[index - this.#incoming.length]
    if (record !== undefined) this.refuse(record, error)
  }

  refuse(record: number, error: StorageError): void {
    this.#refused.set(record, error)
  }

  get refusals(): number {
    return this.#refused.size
  }

  /** Tells everybody what became of the batch: appends in their order, then the rest. */
  settle(error: StorageError | undefined, putErrors: ReadonlyMap<Put, StorageError> = new Map()): void {
    this.isOver = true
    for (const [index, done] of this.#dones.entries()) report(done, this.#refused.get(index) ?? error)
    for (const put of this.puts) {
      const own = error ?? putErrors.get(put)
      if (own === undefined) put.resolve()
      else put.reject(own)
    }
    for (const { resolve, reject } of this.waiters.splice(0)) {
      if (error === undefined) resolve()
      else reject(error)
    }
  }

  #refusalOf({ id, stanza, places }: LogRecord, lastId: LogId): StorageError | undefined {
    if (id === lastId) return permanent(`log id ${id} has been used`)
    if (this.#bytes + places.length * stanza.length > MAX_BYTES) return notKeepingUp()
    if (stanza.length > MAX_DOCUMENT_BYTES) return permanent('a stanza is larger than MongoDB keeps')
    if (!places.every(({ owner, peer }) => owner.isWellFormed() && peer.isWellFormed()))
      return permanent('a key holds half of a surrogate pair')
    const [first, second] = places
    const isTwice =
      places.length === 2 ? first?.owner === second?.owner : new Set(places.map(({ owner }) => part(owner))).size < places.length
    return isTwice ? permanent('a record has two places of one owner') : undefined
  }
}

/** The owners beside this one, unless they follow from the peer: a record of one place may name one who has none. */
const othersOf = ({ places }: LogRecord, owner: string, peer: string): readonly string[] | undefined => {
  if (places.length === 1) return undefined
  if (places.length === 2 && peer !== owner && places.some((place) => place.owner === peer)) return undefined
  return places.map((place) => place.owner as string).filter((other) => other !== owner)
}

const permanent = (message: string): StorageError => new StorageError(message, { isTransient: false })

const notKeepingUp = (): StorageError => new StorageError('the store does not keep up', { isTransient: true })

/** One callback that throws must not cost the others theirs. */
const report = (done: Done, error: StorageError | undefined): void => {
  try {
    if (error === undefined) done()
    else done(error)
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown
    })
  }
}
