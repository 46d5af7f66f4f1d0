/** Where frames go. */
export interface FrameTargets {
  /** The payload of a text frame that came whole. */
  onText(payload: Buffer): void
  /** The bytes of any other frame, in order and to the last one, for a reader that knows all of RFC 6455. */
  passOn(bytes: Buffer): void
}

const FINAL_TEXT = 0x81
const FINAL = 0x80
const MASKED = 0x80
const LENGTH = 0x7f
const OPCODE = 0x0f
/** Opcodes from here on are control frames, which may stand between fragments (RFC 6455 §5.4). */
const FIRST_CONTROL = 0x8
const CLOSE = 0x8
const NOTHING = Buffer.alloc(0)

/**
 * The way of nearly every frame that a client sends: one masked text frame, in one piece. Those are unmasked in place and given on at once;
 * whatever else there is — fragments, control frames, frames cut by the network, mistakes — goes to the other reader as it came
 * (docs/decisions/0007-websocket-frames.md).
 */
export class TextFrames {
  readonly #targets: FrameTargets
  readonly #maxBytes: number
  /** The beginning of a head that has not come whole. */
  #held: Buffer = NOTHING
  /** Bytes of the frame under way that are to be passed on. */
  #passing = 0
  #isFragmented = false
  #hasClosed = false

  constructor(maxBytes: number, targets: FrameTargets) {
    this.#maxBytes = maxBytes
    this.#targets = targets
  }

  /** Takes the next bytes of the connection; they may be changed. */
  read(chunk: Buffer): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = NOTHING
    for (let at = 0; at < bytes.length && (this.#passing > 0 || !this.#hasClosed); )
      at = this.#passing > 0 ? this.#pass(bytes, at) : this.#frame(bytes, at)
  }

  #pass(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#passing)
    this.#passing -= end - at
    this.#targets.passOn(bytes.subarray(at, end))
    return end
  }

  /** One frame from its head on (RFC 6455 §5.2); gives where the next bytes are. */
  #frame(bytes: Buffer, at: number): number {
    const first = bytes[at] ?? 0
    const second = bytes[at + 1] ?? 0
    const short = second & LENGTH
    const maskAt = at + (short < 126 ? 2 : short === 126 ? 4 : 10)
    const start = maskAt + (second & MASKED ? 4 : 0)
    if (at + 2 > bytes.length || start > bytes.length) {
      this.#held = Buffer.from(bytes.subarray(at))
      return bytes.length
    }
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
    const end = start + length
    if (first === FINAL_TEXT && second >= MASKED && !this.#isFragmented && length <= this.#maxBytes && end <= bytes.length) {
      unmask(bytes, maskAt, start, end)
      this.#targets.onText(bytes.subarray(start, end))
      return end
    }
    // §5.5.1: nothing comes after a close frame.
    if ((first & OPCODE) === CLOSE) this.#hasClosed = true
    if ((first & OPCODE) < FIRST_CONTROL) this.#isFragmented = (first & FINAL) === 0
    this.#passing = end - at
    return at
  }
}

/** The key as it falls on aligned words, in whatever order this machine has its bytes. */
const key = new Uint8Array(4)
const keyWord = new Int32Array(key.buffer)

/** RFC 6455 §5.3; word by word where words lie, which takes less than half the time. */
const unmask = (bytes: Uint8Array, maskAt: number, start: number, end: number): void => {
  const { buffer, byteOffset } = bytes
  const aligned = Math.min(end, start + (-(byteOffset + start) & 3))
  unmaskBytes(bytes, maskAt, start, start, aligned)
  for (let k = 0; k < 4; k++) key[k] = bytes[maskAt + ((aligned - start + k) & 3)] ?? 0
  const word = keyWord[0] ?? 0
  const count = (end - aligned) >>> 2
  if (count > 0) {
    const words = new Int32Array(buffer, byteOffset + aligned, count)
    for (let i = 0; i < count; i++) words[i] = (words[i] ?? 0) ^ word
  }
  unmaskBytes(bytes, maskAt, start, aligned + count * 4, end)
}

const unmaskBytes = (bytes: Uint8Array, maskAt: number, start: number, from: number, end: number): void => {
  for (let i = from; i < end; i++) bytes[i] = (bytes[i] ?? 0) ^ (bytes[maskAt + ((i - start) & 3)] ?? 0)
}
