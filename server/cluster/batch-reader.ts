/** Longer than any queue of a peer may be. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024
const LENGTH_BYTES = 4

/** Cuts a stream of bytes into batches, each behind its length (4 bytes). */
export class BatchReader {
  readonly #take: (batch: Buffer) => boolean
  #chunks: Buffer[] = []
  #held = 0
  /** How many bytes have to be there before the next step. */
  #needed = LENGTH_BYTES

  constructor(take: (batch: Buffer) => boolean) {
    this.#take = take
  }

  /** Takes what came; `false` when this is no stream of batches, or a batch was not accepted. */
  read(chunk: Buffer): boolean {
    this.#chunks.push(chunk)
    this.#held += chunk.length
    // Many small chunks of a large batch wait uncopied.
    if (this.#held < this.#needed) return true
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#held)
    this.#needed = LENGTH_BYTES
    while (bytes.length >= LENGTH_BYTES) {
      const length = bytes.readUInt32BE(0)
      if (length > MAX_BATCH_BYTES) return false
      if (bytes.length < LENGTH_BYTES + length) {
        this.#needed = LENGTH_BYTES + length
        break
      }
      if (!this.#take(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length))) return false
      bytes = bytes.subarray(LENGTH_BYTES + length)
    }
    this.#chunks = bytes.length === 0 ? [] : [bytes]
    this.#held = bytes.length
    return true
  }
}
