import type { Outlet } from '#server/core/session.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import type { StreamErrorCondition } from './stream-error.ts'

/** What an outlet needs of the stream it writes to. */
export interface StanzaSink {
  /** Writes what is in the form of this stream. */
  write(data: Wire): void
  /** Writes a stanza that may have been written for a stream of the other form. */
  writeStanza(data: Wire): void
  afterFlush(callback: () => void): void
  readonly queuedBytes: number
  pause(): void
  resume(): void
  close(condition: StreamErrorCondition | undefined, text?: string): void
}

/** How much may wait for one client. */
export interface OutletLimits {
  /** With more than this in front of the kernel, what the ledger keeps waits there. */
  readonly queuedBytes: number
  /** With a tenth of these stanzas or a quarter of these bytes unacknowledged, likewise; with all of them, the session ends. */
  readonly unackedStanzas: number
  readonly unackedBytes: number
}

/** How many times `queuedBytes` may wait in the end: what the ledger does not keep is still sent past it. */
const MAX_FACTOR = 4

/** Whether so much waits in front of the kernel that the client is given up. */
export const isOverfull = (sink: StanzaSink, limits: OutletLimits): boolean => sink.queuedBytes > limits.queuedBytes * MAX_FACTOR

/** Sends to a client without XEP-0198: a message counts as taken when the kernel has its bytes. */
export class PlainOutlet implements Outlet {
  readonly #sink: StanzaSink
  readonly #limits: OutletLimits
  readonly #onTaken: (mark: LogId) => void
  readonly #onRoom: () => void
  #untaken: { readonly mark: LogId; readonly data: Wire }[] = []
  #isWaiting = false
  /** How many of the untaken the coming flush covers. */
  #awaited = 0
  #sent = 0

  constructor(sink: StanzaSink, limits: OutletLimits, onTaken: (mark: LogId) => void, onRoom: () => void) {
    this.#sink = sink
    this.#limits = limits
    this.#onTaken = onTaken
    this.#onRoom = onRoom
  }

  /** Stanzas written so far. */
  get sent(): number {
    return this.#sent
  }
  get isLagging(): boolean {
    return this.#sink.queuedBytes > this.#limits.queuedBytes
  }
  get isAttached(): boolean {
    return true
  }

  send(data: Wire, mark: LogId | undefined): void {
    this.#sent++
    this.#sink.write(data)
    if (mark !== undefined) this.#untaken.push({ mark, data })
    const { isLagging } = this
    if (!this.#isWaiting && (mark !== undefined || isLagging)) this.#awaitFlush()
    if (isLagging && isOverfull(this.#sink, this.#limits)) this.#sink.close('policy-violation', 'nothing was read for too long')
  }

  #awaitFlush(): void {
    this.#isWaiting = true
    this.#awaited = this.#untaken.length
    this.#sink.afterFlush(this.#flushed)
  }

  readonly #flushed = (): void => {
    this.#isWaiting = false
    const taken = this.#untaken
    this.#untaken = taken.length > this.#awaited ? taken.slice(this.#awaited) : []
    for (let i = 0; i < this.#awaited; i++) {
      const entry = taken[i]
      if (entry !== undefined) this.#onTaken(entry.mark)
    }
    if (this.#untaken.length > 0) this.#awaitFlush()
    this.#onRoom()
  }

  pause(): void {
    this.#sink.pause()
  }
  resume(): void {
    this.#sink.resume()
  }
  close(condition: StreamErrorCondition | undefined, text?: string): void {
    this.#sink.close(condition, text)
  }
  untaken(): readonly { readonly mark: LogId; readonly data: Wire }[] {
    return this.#untaken
  }
}
