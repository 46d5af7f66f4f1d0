import { deserialize, serialize } from 'node:v8'
import { type Answer, type BatchAnswer, type BatchMessage, MAX_KEPT_BYTES, type Request } from './protocol.ts'

/**
 * What passes between a process and the writer of another, in frames over a Unix socket:
 *
 *     u32 bytes behind this | u8 kind | the rest
 *     a batch       u32 operations | u32 firstName | u32 packed bytes | the packed operations | names and calls, unless there are none
 *     its answer    what went wrong and what was found, unless all went well and nothing was asked
 *     a backup      its path
 *     its answer    why it failed, unless it did not
 *
 * What is not packed is in the format of `node:v8`: both ends are one program.
 */
const HEAD_BYTES = 5
const BATCH_HEAD_BYTES = 12
const BATCH = 1
const BACKUP = 2
const NOTHING = Buffer.alloc(0)

/** A frame larger than this is nobody's: a batch ends at 64 MiB, and its names and calls are no larger. */
export const MAX_FRAME_BYTES = 512 * 1024 * 1024

/** A batch as it came over a socket. */
export interface CarriedBatch {
  /** In the memory in which it came: carrying it out changes that. */
  take(): BatchMessage
  /** In the memory that is lent for it, or in more, which its `bytes` then are, if that is too little. */
  copy(lent: ArrayBuffer): BatchMessage
}

export type CarriedRequest =
  | { readonly kind: 'batch'; readonly batch: CarriedBatch }
  | { readonly kind: 'backup'; readonly path: string }

/** The parts of a request's frame, to be written one after the other. */
export const encodeRequest = (request: Request): readonly Uint8Array[] => {
  if (request.kind === 'backup') return framed(BACKUP, [Buffer.from(request.path)])
  const { bytes, start, length, operations, firstName, names, calls } = request
  const head = Buffer.allocUnsafe(BATCH_HEAD_BYTES)
  head.writeUInt32LE(operations, 0)
  head.writeUInt32LE(firstName, 4)
  head.writeUInt32LE(length, 8)
  const rest = names.length === 0 && calls.length === 0 ? NOTHING : serialize({ names, calls })
  return framed(BATCH, [head, new Uint8Array(bytes, start, length), rest])
}

/** Reads a request's frame, without its length. */
export const decodeRequest = (frame: Buffer): CarriedRequest => {
  if (frame[0] === BACKUP) return { kind: 'backup', path: frame.toString('utf8', 1) }
  if (frame[0] !== BATCH) throw new RangeError(`there is no request ${frame[0]}`)
  const operations = frame.readUInt32LE(1)
  const firstName = frame.readUInt32LE(5)
  const length = frame.readUInt32LE(9)
  const start = 1 + BATCH_HEAD_BYTES
  if (start + length > frame.length) throw new RangeError('a batch is shorter than it says')
  const tail = frame.subarray(start + length)
  const rest: Pick<BatchMessage, 'names' | 'calls'> = tail.length === 0 ? { names: [], calls: [] } : deserialize(tail)
  const messageOf = (bytes: ArrayBuffer, from: number): BatchMessage => ({
    kind: 'batch',
    bytes,
    start: from,
    length,
    operations,
    firstName,
    ...rest,
  })
  const { buffer, byteOffset } = frame
  if (!(buffer instanceof ArrayBuffer)) throw new TypeError('a frame is in memory of its own')
  return {
    kind: 'batch',
    batch: {
      take: () => messageOf(buffer, byteOffset + start),
      copy(lent) {
        const memory = lent.byteLength >= length ? lent : new ArrayBuffer(length)
        new Uint8Array(memory).set(frame.subarray(start, start + length))
        return messageOf(memory, 0)
      },
    },
  }
}

/** The parts of an answer's frame. */
export const encodeAnswer = (answer: Extract<Answer, { kind: 'batch' | 'backed-up' }>): readonly Uint8Array[] => {
  if (answer.kind === 'backed-up') return framed(BACKUP, [answer.failure === undefined ? NOTHING : serialize(answer.failure)])
  const { failure, refused, results } = answer
  const isPlain = failure === undefined && refused.size === 0 && results.length === 0
  return framed(BATCH, [isPlain ? NOTHING : serialize({ failure, refused, results })])
}

/** Reads an answer's frame, without its length; `bytes` is the memory of the batch that it answers. */
export const decodeAnswer = (frame: Buffer, bytes: ArrayBuffer): BatchAnswer | Extract<Answer, { kind: 'backed-up' }> => {
  const rest = frame.length === 1 ? undefined : deserialize(frame.subarray(1))
  if (frame[0] === BACKUP) return { kind: 'backed-up', ...(rest === undefined ? {} : { failure: rest }) }
  const { failure, refused, results }: Pick<BatchAnswer, 'failure' | 'refused' | 'results'> = rest ?? WELL
  return { kind: 'batch', bytes, refused, results, ...(failure === undefined ? {} : { failure }) }
}

const WELL = { refused: new Map(), results: [] }

const framed = (kind: number, parts: readonly Uint8Array[]): readonly Uint8Array[] => {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.writeUInt32LE(
    parts.reduce((sum, { length }) => sum + length, 1),
    0,
  )
  head[4] = kind
  return [head, ...parts.filter(({ length }) => length > 0)]
}

/** What the next frame's memory is at least. */
const SMALLEST_BYTES = 64 * 1024

/** Cuts what a socket brings into frames, without their lengths. */
export class FrameReader {
  readonly #onFrame: (frame: Buffer) => void
  readonly #length = Buffer.alloc(4)
  #lengthBytes = 0
  /** Of the frame that is coming. */
  #frame: Buffer = NOTHING
  #filled = 0
  #spare: Buffer = NOTHING

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame
  }

  /** Takes what came; throws at what is no frame. */
  read(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#lengthBytes < 4) {
        const taken = chunk.copy(this.#length, this.#lengthBytes, at)
        at += taken
        this.#lengthBytes += taken
        if (this.#lengthBytes === 4) this.#begin(this.#length.readUInt32LE(0))
      } else {
        const taken = chunk.copy(this.#frame, this.#filled, at)
        at += taken
        this.#filled += taken
        if (this.#filled === this.#frame.length) this.#end()
      }
    }
  }

  /** Takes the memory of a frame back that nobody looks at any more. */
  reuse(frame: Buffer): void {
    const { buffer } = frame
    if (buffer.byteLength > this.#spare.length && buffer.byteLength <= MAX_KEPT_BYTES) this.#spare = Buffer.from(buffer)
  }

  #begin(length: number): void {
    if (length === 0 || length > MAX_FRAME_BYTES) throw new RangeError('what came is no frame')
    if (this.#spare.length < length) this.#spare = Buffer.from(new ArrayBuffer(Math.max(length, SMALLEST_BYTES)))
    this.#frame = this.#spare.subarray(0, length)
    this.#spare = NOTHING
    this.#filled = 0
  }

  #end(): void {
    const frame = this.#frame
    this.#frame = NOTHING
    this.#lengthBytes = 0
    this.#onFrame(frame)
  }
}
