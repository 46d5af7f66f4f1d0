import type { Tokenizer } from './tokenizer.ts'

const QUOTE = 0x22
const APOSTROPHE = 0x27
const LESS_THAN = 0x3c
const GREATER_THAN = 0x3e
const QUESTION = 0x3f

/** A token of fewer bytes is simply read again with each chunk. */
const SHORT_BYTES = 16
const LEAST_CAPACITY = 512

/**
 * An element whose end has not come yet: its bytes so far, and the tokenizer that stopped among them. A tag that was cut is read again from its
 * beginning, so that it must not be tried with each chunk: only once it can be complete, or has twice the length it had when it was tried last.
 * Thus even a tag that comes byte by byte costs time in proportion to its length.
 */
export class UnfinishedElement {
  readonly tokenizer: Tokenizer
  length: number
  #buffer: Buffer
  /** How far the cut tag has been searched for its end; 0 when no tag is cut. */
  #searched = 0
  /** The quote that was open there, or 0. */
  #quote = 0
  #tryAgainAt = 0

  /** Copies what is unfinished out of the chunk. */
  constructor(tokenizer: Tokenizer, chunk: Buffer) {
    const start = tokenizer.base
    this.tokenizer = tokenizer
    this.length = chunk.length - start
    this.#buffer = Buffer.allocUnsafe(Math.max(2 * this.length, LEAST_CAPACITY))
    chunk.copy(this.#buffer, 0, start)
    tokenizer.bytes = this.#buffer
    tokenizer.base = 0
    tokenizer.pos -= start
    this.pause()
  }

  /** The bytes so far. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length)
  }

  /** Takes more bytes in, but never more than an element may have; answers whether it is worth reading on. */
  add(chunk: Buffer, maxBytes: number): boolean {
    const taken = Math.min(chunk.length, Math.max(maxBytes - this.length, 0))
    const length = this.length + taken
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(2 * length)
      this.#buffer.copy(larger, 0, 0, this.length)
      this.#buffer = larger
      this.tokenizer.bytes = larger
    }
    chunk.copy(this.#buffer, this.length, 0, taken)
    this.length = length
    if (this.#searched === 0 || length >= maxBytes) return true
    return this.#hasTagEnd() || length >= this.#tryAgainAt
  }

  /** Notes where reading stopped. */
  pause(): void {
    const { pos } = this.tokenizer
    const tokenLength = this.length - pos
    this.#searched = 0
    // An XML declaration may not be long.
    if (tokenLength < SHORT_BYTES || this.#buffer[pos] !== LESS_THAN || this.#buffer[pos + 1] === QUESTION) return
    this.#searched = pos + 1
    this.#quote = 0
    this.#tryAgainAt = pos + 2 * tokenLength
    this.#hasTagEnd()
  }

  /** Whether a `>` has come that is not inside quotes. */
  #hasTagEnd(): boolean {
    const buffer = this.#buffer
    for (let p = this.#searched; p < this.length; p++) {
      const c = buffer[p]
      if (this.#quote !== 0) {
        if (c === this.#quote) this.#quote = 0
      } else if (c === QUOTE || c === APOSTROPHE) this.#quote = c
      else if (c === GREATER_THAN) {
        this.#searched = p
        return true
      }
    }
    this.#searched = this.length
    return false
  }
}
