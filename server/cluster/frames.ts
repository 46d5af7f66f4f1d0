import { type Wire, wire } from '#stanzas/wire.ts'

/**
 * What travels between nodes: batches of frames, all numbers big-endian, all text as latin1 strings of its bytes.
 * Batch: type (1), the sender's epoch (8), its link's generation (4), the batch's number in it (4); then a greeting's fields, or frames.
 * Frame: length of what follows (4), type (1), correlation (4, but for messages), length of the kind (1, messages and requests only), kind, payload.
 */
export type FrameType = 'message' | 'request' | 'reply' | 'failure'

export interface Frame {
  readonly type: FrameType
  /** Empty in replies. */
  readonly kind: string
  /** Which request it is or answers; 0 in messages. */
  readonly correlation: number
  readonly payload: Wire
}

interface BatchHead {
  readonly epoch: number
  readonly generation: number
  readonly number: number
}

/** Opens a link, and says which generation of the peer's own was seen last (0: none). Its number is 1 when the link is up on its sender's side: then it needs no answer. */
export interface Greeting extends BatchHead {
  readonly type: 'greeting'
  readonly name: string
  readonly seen: number
}
export interface Frames extends BatchHead {
  readonly type: 'frames'
  readonly frames: readonly Frame[]
}
/** The sender ends; nothing follows. */
export interface Farewell extends BatchHead {
  readonly type: 'farewell'
}
export type Batch = Greeting | Frames | Farewell

/** Says that bytes from a peer are no batch. */
export class MalformedBatchError extends Error {
  constructor(why: string) {
    super(why)
    this.name = 'MalformedBatchError'
  }
}

/** What the name of a node looks like: it becomes part of file names and keys. */
export const NODE_NAME = /^[a-z0-9][a-z0-9.-]{0,39}$/

const HEAD_BYTES = 17
const GREETING = 1
const FRAMES = 2
const FAREWELL = 3
const TYPES = ['message', 'request', 'reply', 'failure'] as const
const MAX_KIND = 255

const u32 = (value: number): string => String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)

const head = (type: number, { epoch, generation, number }: BatchHead): string =>
  String.fromCharCode(type) + u32(Math.floor(epoch / 2 ** 32)) + u32(epoch) + u32(generation) + u32(number)

/** A whole batch that opens a link. */
export const encodeGreeting = (greeting: Omit<Greeting, 'type'>): string =>
  head(GREETING, greeting) + u32(greeting.seen) + greeting.name

/** What stands before the frames of a batch. */
export const encodeFramesHead = (batch: BatchHead): string => head(FRAMES, batch)

/** A whole batch that ends a link. */
export const encodeFarewell = (batch: BatchHead): string => head(FAREWELL, batch)

export const encodeMessage = (kind: string, payload: Wire): string =>
  `${u32(2 + kind.length + payload.length)}\0${String.fromCharCode(kind.length)}${kind}${payload}`

export const encodeRequest = (correlation: number, kind: string, payload: Wire): string =>
  `${u32(6 + kind.length + payload.length)}\x01${u32(correlation)}${String.fromCharCode(kind.length)}${kind}${payload}`

export const encodeReply = (correlation: number, payload: Wire): string =>
  `${u32(5 + payload.length)}\x02${u32(correlation)}${payload}`

export const encodeFailure = (correlation: number): string => `${u32(5)}\x03${u32(correlation)}`

/** Whether a kind fits into a frame. */
export const isKind = (kind: string): boolean => kind.length > 0 && kind.length <= MAX_KIND && /^[\x21-\x7e]+$/.test(kind)

/** Reads a batch; throws `MalformedBatchError`. */
export const decodeBatch = (bytes: Buffer): Batch => {
  if (bytes.length < HEAD_BYTES) throw new MalformedBatchError('a batch is too short')
  const batch = {
    epoch: bytes.readUInt32BE(1) * 2 ** 32 + bytes.readUInt32BE(5),
    generation: bytes.readUInt32BE(9),
    number: bytes.readUInt32BE(13),
  }
  if (!Number.isSafeInteger(batch.epoch)) throw new MalformedBatchError('an epoch is too large')
  switch (bytes[0]) {
    case GREETING: {
      const name = bytes.toString('latin1', HEAD_BYTES + 4)
      if (bytes.length < HEAD_BYTES + 4 || !NODE_NAME.test(name)) throw new MalformedBatchError('a greeting has no name')
      return { type: 'greeting', ...batch, seen: bytes.readUInt32BE(HEAD_BYTES), name }
    }
    case FRAMES:
      return { type: 'frames', ...batch, frames: decodeFrames(bytes) }
    case FAREWELL:
      return { type: 'farewell', ...batch }
    default:
      throw new MalformedBatchError('a batch of an unknown type')
  }
}

const decodeFrames = (bytes: Buffer): readonly Frame[] => {
  const frames: Frame[] = []
  let at = HEAD_BYTES
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new MalformedBatchError('a frame has no length')
    const end = at + 4 + bytes.readUInt32BE(at)
    if (end > bytes.length) throw new MalformedBatchError('a frame is longer than its batch')
    frames.push(decodeFrame(bytes, at + 4, end))
    at = end
  }
  return frames
}

const decodeFrame = (bytes: Buffer, start: number, end: number): Frame => {
  const type = TYPES[start < end ? (bytes[start] ?? MAX_KIND) : MAX_KIND]
  if (type === undefined) throw new MalformedBatchError('a frame of an unknown type')
  let at = start + 1
  let correlation = 0
  if (type !== 'message') {
    if (at + 4 > end) throw new MalformedBatchError('a frame has no correlation')
    correlation = bytes.readUInt32BE(at)
    at += 4
  }
  let kind = ''
  if (type === 'message' || type === 'request') {
    const length = at < end ? (bytes[at] ?? 0) : 0
    at += 1
    if (length === 0 || at + length > end) throw new MalformedBatchError('a frame has no kind')
    kind = bytes.toString('latin1', at, at + length)
    at += length
  }
  // A copy of its own: the bytes of the batch may be reused.
  return { type, kind, correlation, payload: wire(bytes.toString('latin1', at, end)) }
}
