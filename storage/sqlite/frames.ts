import { deserialize, serialize } from 'node:v8'
import type { Answer, BatchAnswer, BatchMessage, Request } from './protocol.ts'

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

/** A batch as it came over a socket; `read` gives it with memory of its own, as often as it is asked. */
export interface CarriedBatch {
  read(): BatchMessage
}

export type CarriedRequest =
  | { readonly kind: 'batch'; readonly batch: CarriedBatch }
  | { readonly kind: 'backup'; readonly path: string }

/** The parts of a request's frame, to be written one after the other. */
export const encodeRequest = (request: Request): readonly Uint8Array[] => {
  if (request.kind === 'backup') return framed(BACKUP, [Buffer.from(request.path)])
  const { bytes, length, operations, firstName, names, calls } = request
  const head = Buffer.allocUnsafe(BATCH_HEAD_BYTES)
  head.writeUInt32LE(operations, 0)
  head.writeUInt32LE(firstName, 4)
  head.writeUInt32LE(length, 8)
  const rest = names.length === 0 && calls.length === 0 ? NOTHING : serialize({ names, calls })
  return framed(BATCH, [head, new Uint8Array(bytes, 0, length), rest])
}

/** Reads a request's frame, without its length. */
export const decodeRequest = (frame: Buffer): CarriedRequest => {
  if (frame[0] === BACKUP) return { kind: 'backup', path: frame.toString('utf8', 1) }
  if (frame[0] !== BATCH) throw new RangeError(`there is no request ${frame[0]}`)
  const operations = frame.readUInt32LE(1)
  const firstName = frame.readUInt32LE(5)
  const length = frame.readUInt32LE(9)
  const packed = frame.subarray(1 + BATCH_HEAD_BYTES, 1 + BATCH_HEAD_BYTES + length)
  if (packed.length !== length) throw new RangeError('a batch is shorter than it says')
  const tail = frame.subarray(1 + BATCH_HEAD_BYTES + length)
  const rest: Pick<BatchMessage, 'names' | 'calls'> = tail.length === 0 ? { names: [], calls: [] } : deserialize(tail)
  return {
    kind: 'batch',
    batch: {
      read() {
        const bytes = new ArrayBuffer(length)
        new Uint8Array(bytes).set(packed)
        return { kind: 'batch', bytes, length, operations, firstName, ...rest }
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

/** Cuts what a socket brings into frames, without their lengths. */
export class FrameReader {
  readonly #onFrame: (frame: Buffer) => void
  #chunks: Buffer[] = []
  #bytes = 0
  #needed = 4

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame
  }

  /** Takes what came; throws at what is no frame. */
  read(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes >= this.#needed) {
      const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? NOTHING) : Buffer.concat(this.#chunks)
      this.#chunks = [all]
      const end = 4 + all.readUInt32LE(0)
      if (end <= 4 || end > MAX_FRAME_BYTES) throw new RangeError('what came is no frame')
      this.#needed = end
      if (all.length < end) return
      const rest = all.subarray(end)
      this.#chunks = rest.length === 0 ? [] : [rest]
      this.#bytes = rest.length
      this.#needed = 4
      this.#onFrame(all.subarray(4, end))
    }
  }
}
