import { detach, type Wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'

/** A stanza that was sent and is not acknowledged. */
export interface Unacked {
  readonly data: Wire
  readonly mark: LogId | undefined
}

/** Sequence numbers wrap at 2^32 (XEP-0198 §4). */
const toUint32 = (value: number): number => value >>> 0

/**
 * Stanzas sent on a managed stream, until the peer says that it has handled them.
 * The array is cut only when half of it is acknowledged, so that taking from the front costs nothing.
 */
export class AckQueue {
  #entries: Unacked[] = []
  #head = 0
  #acked: number
  #bytes = 0

  /** `acked`: the peer's last `h`, of a stream that goes on. */
  constructor(acked = 0) {
    this.#acked = acked
  }

  get length(): number {
    return this.#entries.length - this.#head
  }
  get bytes(): number {
    return this.#bytes
  }
  /** The peer's last `h`. */
  get acked(): number {
    return this.#acked
  }

  push(data: Wire, mark: LogId | undefined): void {
    this.#entries.push({ data: detach(data), mark })
    this.#bytes += data.length
  }

  /** How many of the queue `h` covers; more than `length` when the peer counted what was never sent. */
  covered(h: number): number {
    return toUint32(h - this.#acked)
  }

  /** Takes the first `count` stanzas off, and calls back with the ledger mark of each that has one. */
  acknowledge(count: number, onMark: (mark: LogId) => void): void {
    const end = this.#head + count
    for (; this.#head < end; this.#head++) {
      const entry = this.#entries[this.#head]
      if (entry === undefined) break
      this.#bytes -= entry.data.length
      if (entry.mark !== undefined) onMark(entry.mark)
    }
    this.#acked = toUint32(this.#acked + count)
    if (this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }

  /** What is not acknowledged, oldest first. */
  unacked(): readonly Unacked[] {
    return this.#entries.slice(this.#head)
  }
}
