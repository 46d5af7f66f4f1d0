import type { Outlet } from '#server/core/session.ts'
import { NS_STREAM_MANAGEMENT } from '#stanzas/namespaces.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import { HIGH_WATER_BYTES, type StanzaSink } from '../outlet.ts'
import type { StreamErrorCondition } from '../stream-error.ts'
import { AckQueue, type Unacked } from './ack-queue.ts'

/** Unacknowledged stanzas past which only what the ledger does not keep is still sent. */
const HIGH_WATER_STANZAS = 500
/** Past this a client that takes nothing is given up: what the ledger does not keep would fill the memory. */
const MAX_BYTES = 4 * 1_048_576

const REQUEST = wire(`<r xmlns='${NS_STREAM_MANAGEMENT}'/>`)

/** What became of an `<a/>`. */
export type AckOutcome = 'fine' | 'too-high'

/**
 * Sends to a client with XEP-0198: a message counts as taken when the client acknowledges it.
 * It outlives its stream: while no client is connected, what the ledger keeps stays there, and the rest waits here.
 */
export class ManagedOutlet implements Outlet {
  readonly #queue = new AckQueue()
  readonly #onTaken: (mark: LogId) => void
  readonly #onRoom: () => void
  #sink: StanzaSink | undefined
  #isRequestOpen = false
  /** Stanzas written before `<enabled/>`, which some clients count (COMPAT in `acknowledge`). */
  readonly #sentBefore: number
  #miscount = 0

  constructor(sink: StanzaSink, sentBefore: number, onTaken: (mark: LogId) => void, onRoom: () => void) {
    this.#sink = sink
    this.#sentBefore = sentBefore
    this.#onTaken = onTaken
    this.#onRoom = onRoom
  }

  get isAttached(): boolean {
    return this.#sink !== undefined
  }
  get isLagging(): boolean {
    return (
      this.#sink === undefined ||
      this.#queue.length > HIGH_WATER_STANZAS ||
      this.#queue.bytes > HIGH_WATER_BYTES * 4 ||
      this.#sink.queuedBytes > HIGH_WATER_BYTES
    )
  }
  get isOverfull(): boolean {
    return this.#queue.bytes > MAX_BYTES
  }
  /** All stanzas sent so far, as XEP-0198 counts. */
  get sentCount(): number {
    return (this.#queue.acked + this.#queue.length) >>> 0
  }

  send(data: Wire, mark: LogId | undefined): void {
    this.#queue.push(data, mark)
    if (this.#sink === undefined) return
    this.#sink.writeStanza(data)
    this.request()
    if (this.isOverfull) this.#sink.close('policy-violation', 'nothing was acknowledged for too long')
  }

  /** Asks for an acknowledgement, unless one is on its way: a burst costs one or two requests, and its last stanza is asked for too. */
  request(): void {
    if (this.#isRequestOpen || this.#sink === undefined) return
    this.#isRequestOpen = true
    this.#sink.writeStanza(REQUEST)
  }

  /** Asks even when an answer is due: is the client still there? */
  ask(): void {
    this.#isRequestOpen = false
    this.request()
  }

  /** Takes an `<a h='…'/>` (XEP-0198 §4). */
  acknowledge(h: number): AckOutcome {
    this.#isRequestOpen = false
    const excess = this.#covered(h) - this.#queue.length
    // COMPAT(@xmpp/client 0.14): it counts from sending <enable/>, and so what the server wrote before <enabled/>. How much that was shows here.
    if (excess > 0 && this.#miscount + excess > this.#sentBefore) return 'too-high'
    if (excess > 0) this.#miscount += excess
    this.#queue.acknowledge(this.#covered(h), this.#onTaken)
    if (this.#queue.length > 0) this.request()
    this.#onRoom()
    return 'fine'
  }

  #covered(h: number): number {
    return this.#queue.covered(h - this.#miscount)
  }

  /** Whether a resume with this `h` is possible. */
  canResume(h: number): boolean {
    return this.#covered(h) <= this.#queue.length
  }

  /** Goes on over another stream: what the client has not seen is sent again (XEP-0198 §5). */
  attach(sink: StanzaSink, h: number): number {
    this.#sink = sink
    this.#isRequestOpen = false
    this.#queue.acknowledge(this.#covered(h), this.#onTaken)
    const again = this.#queue.unacked()
    for (const { data } of again) sink.writeStanza(data)
    if (again.length > 0) this.request()
    return again.length
  }

  detach(): void {
    this.#sink = undefined
    this.#isRequestOpen = false
  }

  pause(): void {
    this.#sink?.pause()
  }
  resume(): void {
    this.#sink?.resume()
  }
  close(condition: StreamErrorCondition | undefined, text?: string): void {
    this.#sink?.close(condition, text)
  }
  untaken(): readonly Unacked[] {
    return this.#queue.unacked()
  }
}
