import type { BareJid } from '#stanzas/jid.ts'
import type { LogId, LogRecord } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import type { Failure } from './failure.ts'
import { errorOf } from './failure.ts'
import {
  APPEND_HEADER_BYTES,
  type BatchAnswer,
  type BatchMessage,
  type Call,
  CLEAR_BYTES,
  OPERATION_APPEND,
  OPERATION_CLEAR,
} from './protocol.ts'
import {
  FLAG_INCOMING,
  FLAG_PENDING,
  FLAG_TEXT,
  FLAG_TRANSIENT,
  headerBytesOf,
  PLACE_BYTES,
  RECORD_HEADER_BYTES,
} from './record.ts'

export type Done = (error?: Error) => void

interface Waiter {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** A batch this large holds back new appends: the disk has stopped, and memory must not pay for it. */
const MAX_BYTES = 64 * 1024 * 1024
/** References start anew past so many, so that neither thread remembers every peer there ever was. */
const MAX_NAMES = 65_536

/** The texts that both threads know by number. */
export class Dictionary {
  readonly #references = new Map<string, number>()
  #added: string[] = []

  /** The reference of a text; `undefined` when it has no UTF-8 form. */
  referenceOf(text: string): number | undefined {
    const known = this.#references.get(text)
    if (known !== undefined) return known
    if (!text.isWellFormed()) return undefined
    const reference = this.#references.size
    this.#references.set(text, reference)
    this.#added.push(text)
    return reference
  }

  /** What was added since the last batch went off. */
  takeAdded(): { readonly firstName: number; readonly names: readonly string[] } {
    const names = this.#added
    this.#added = []
    return { firstName: this.#references.size - names.length, names }
  }

  /** Starts anew when it has grown too large; only between batches. */
  trim(): void {
    if (this.#references.size >= MAX_NAMES) this.#references.clear()
  }
}

/** What one turn, or the time of one commit, has brought together: packed operations, calls, and who waits for them. */
export class Batch {
  readonly #dictionary: Dictionary
  #bytes: Buffer
  #view: DataView
  #length = 0
  #operations = 0
  readonly #dones: Done[] = []
  /** Appends refused before they were packed, by their place among the dones. */
  readonly #refused = new Map<number, StorageError>()
  readonly #calls: Call[] = []
  readonly #waiters: Waiter[] = []
  #writingCalls = 0

  constructor(dictionary: Dictionary, memory: ArrayBuffer) {
    this.#dictionary = dictionary
    this.#bytes = Buffer.from(memory)
    this.#view = new DataView(memory)
  }

  get isEmpty(): boolean {
    return this.#operations === 0 && this.#dones.length === 0 && this.#calls.length === 0
  }

  /** How many operations change something. */
  get writes(): number {
    return this.#operations + this.#writingCalls
  }

  append(record: LogRecord, done: Done): void {
    this.#dones.push(done)
    const refusal = this.#pack(record)
    if (refusal !== undefined) this.#refused.set(this.#dones.length - 1, refusal)
  }

  clearPending(owner: BareJid, id: LogId, takenAtMs: number): void {
    const reference = this.#dictionary.referenceOf(owner)
    if (reference === undefined) return
    this.#reserve(CLEAR_BYTES)
    this.#view.setUint8(this.#length, OPERATION_CLEAR)
    this.#view.setFloat64(this.#length + 1, id, true)
    this.#view.setUint32(this.#length + 9, reference, true)
    this.#view.setFloat64(this.#length + 13, takenAtMs, true)
    this.#length += CLEAR_BYTES
    this.#operations += 1
  }

  call(call: Omit<Call, 'after'>, waiter: Waiter): void {
    this.#calls.push({ ...call, after: this.#operations })
    if (call.isWrite) this.#writingCalls += 1
    this.#waiters.push(waiter)
  }

  /** The message for the writer; its memory is to be transferred. */
  message(): BatchMessage {
    return {
      kind: 'batch',
      bytes: this.#view.buffer as ArrayBuffer,
      start: 0,
      length: this.#length,
      operations: this.#operations,
      ...this.#dictionary.takeAdded(),
      calls: this.#calls,
    }
  }

  /** Tells everybody what became of the batch: appends in their order, then calls. */
  settle({ failure, refused, results }: Pick<BatchAnswer, 'failure' | 'refused' | 'results'>): void {
    const error = failure && errorOf(failure)
    let packed = 0
    for (const [index, done] of this.#dones.entries()) {
      let own = this.#refused.get(index)
      if (own === undefined) {
        own = error ?? optionalError(refused.get(packed))
        packed += 1
      }
      report(done, own)
    }
    for (const [index, { resolve, reject }] of this.#waiters.entries()) {
      const result = results[index]
      if (result !== undefined && 'value' in result) resolve(result.value)
      else
        reject(result === undefined ? (error ?? new StorageError('no answer', { isTransient: false })) : errorOf(result.failure))
    }
  }

  /** Writes a record behind what is there; tells why when it is refused, with nothing changed. */
  #pack({ id, atMs, stanza, isText, places }: LogRecord): StorageError | undefined {
    const bytes = headerBytesOf(places.length) + stanza.length
    if (this.#length + bytes > MAX_BYTES) return new StorageError('the store does not keep up', { isTransient: true })
    this.#reserve(APPEND_HEADER_BYTES + bytes)
    const view = this.#view
    const start = this.#length
    const record = start + APPEND_HEADER_BYTES
    let at = record + RECORD_HEADER_BYTES
    for (const { owner, peer, direction, isPending, isTransient } of places) {
      const ownerReference = this.#dictionary.referenceOf(owner)
      const peerReference = this.#dictionary.referenceOf(peer)
      if (ownerReference === undefined || peerReference === undefined) return notWellFormed()
      for (let other = record + RECORD_HEADER_BYTES; other < at; other += PLACE_BYTES) {
        if (view.getUint32(other, true) === ownerReference) return twoPlaces()
      }
      view.setUint32(at, ownerReference, true)
      view.setUint32(at + 4, peerReference, true)
      view.setUint8(
        at + 8,
        (isPending ? FLAG_PENDING : 0) |
          (direction === 'in' ? FLAG_INCOMING : 0) |
          (isTransient ? FLAG_TRANSIENT : 0) |
          (isText ? FLAG_TEXT : 0),
      )
      at += PLACE_BYTES
    }
    view.setUint8(start, OPERATION_APPEND)
    view.setFloat64(start + 1, id, true)
    view.setUint32(start + 9, bytes, true)
    view.setFloat64(record, atMs, true)
    view.setUint16(record + 8, places.length, true)
    this.#bytes.write(stanza, at, 'latin1')
    this.#length = record + bytes
    this.#operations += 1
    return undefined
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#bytes.length) return
    const memory = new ArrayBuffer(Math.max(needed, this.#bytes.length * 2))
    const wider = Buffer.from(memory)
    this.#bytes.copy(wider, 0, 0, this.#length)
    this.#bytes = wider
    this.#view = new DataView(memory)
  }
}

const notWellFormed = () => new StorageError('a key holds half of a surrogate pair', { isTransient: false })

const twoPlaces = () => new StorageError('a record has two places of one owner', { isTransient: false })

const optionalError = (failure: Failure | undefined): StorageError | undefined => failure && errorOf(failure)

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
