import type { Outlet } from '#server/core/session.ts'
import { NS_STREAM_MANAGEMENT } from '#stanzas/namespaces.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import type { OutletLimits, PlainOutlet, StanzaSink } from '../outlet.ts'
import type { StreamErrorCondition } from '../stream-error.ts'
import { AckQueue, type Unacked } from './ack-queue.ts'
import type { Recording } from './recording.ts'

const REQUEST = wire(`<r xmlns='${NS_STREAM_MANAGEMENT}'/>`)

/** What became of an `<a/>`. */
export type AckOutcome = 'fine' | 'too-high'

/**
 * Sends to a client with XEP-0198: a message counts as taken when the client acknowledges it.
 * It outlives its stream: while no client is connected, what the ledger keeps stays there, and the rest waits here.
 */
export class ManagedOutlet implements Outlet {
  #queue: AckQueue
  readonly #onTaken: (mark: LogId) => void
  readonly #onRoom: () => void
  readonly #onOverflow: () => void
  readonly #limits: OutletLimits
  #sink: StanzaSink | undefined
  #isRequestOpen = false
  /** Stanzas written before `<enabled/>`, which some clients count (COMPAT in `acknowledge`). */
  readonly #sentBefore: number
  #miscount = 0
  #atDetach = 0
  /** What carried the session until then, and may not have got rid of everything. */
  #before: PlainOutlet | undefined

  /** The record that is to tell of what is sent before it goes, where there is one; and what waits for that. */
  #recording: Recording | undefined
  #held: { readonly data: Wire; readonly isAgain: boolean }[] = []

  /** `from`: what carried the session until now, or, after it was lost with its process, what was recorded. */
  constructor(
    sink: StanzaSink | undefined,
    from: PlainOutlet | { readonly acked: number; readonly sent: readonly Unacked[] },
    limits: OutletLimits,
    on: { readonly taken: (mark: LogId) => void; readonly room: () => void; readonly overflow: () => void },
  ) {
    this.#sink = sink
    if ('acked' in from) {
      this.#queue = new AckQueue(from.acked)
      for (const { data, mark } of from.sent) this.#queue.push(data, mark)
      this.#sentBefore = 0
    } else {
      this.#queue = new AckQueue()
      this.#before = from
      this.#sentBefore = from.sent
    }
    this.#limits = limits
    this.#onTaken = (mark) => {
      this.#recording?.taken(mark)
      on.taken(mark)
    }
    this.#onRoom = on.room
    this.#onOverflow = on.overflow
  }

  /** From now on nothing goes to the client before a record tells of it. */
  recordBy(recording: Recording): void {
    this.#recording = recording
    recording.changed()
  }

  /** Gives what lets the stanzas go that wait for the record now; those of a stream that is taken up meanwhile wait on. */
  holds(): () => void {
    const held = this.#held
    const { length } = held
    return () => {
      if (held === this.#held) this.release(length)
    }
  }

  /** So many of the stanzas that wait may go. */
  release(count: number): void {
    for (const { data, isAgain } of this.#held.splice(0, count)) {
      if (isAgain) this.#sink?.writeStanza(data)
      else this.#sink?.write(data)
      this.request()
    }
  }

  get isAttached(): boolean {
    return this.#sink !== undefined
  }
  get isLagging(): boolean {
    const { queuedBytes, unackedStanzas, unackedBytes } = this.#limits
    return (
      this.#sink === undefined ||
      this.#queue.length * 10 > unackedStanzas ||
      this.#queue.bytes * 4 > unackedBytes ||
      this.#sink.queuedBytes > queuedBytes
    )
  }
  /** So much is unacknowledged that the client is given up: what the ledger does not keep would fill the memory. */
  get #isOverfull(): boolean {
    return this.#queue.length > this.#limits.unackedStanzas || this.#queue.bytes > this.#limits.unackedBytes
  }
  /** The client's last `h`, and what was sent since. */
  get acked(): number {
    return this.#queue.acked
  }
  unacked(): readonly Unacked[] {
    return this.#queue.unacked()
  }
  /** All stanzas sent so far, as XEP-0198 counts. */
  get sentCount(): number {
    return (this.#queue.acked + this.#queue.length) >>> 0
  }

  send(data: Wire, mark: LogId | undefined): void {
    this.#queue.push(data, mark)
    if (this.#sink === undefined) this.#recording?.changed()
    else if (this.#recording === undefined || this.#recording.isLate) {
      this.#sink.write(data)
      this.request()
      this.#recording?.changed()
    } else {
      this.#held.push({ data, isAgain: false })
      this.#recording.changed()
    }
    if (this.#isOverfull) this.#onOverflow()
  }

  /** Asks for an acknowledgement, unless one is on its way: a burst costs one or two requests, and its last stanza is asked for too. */
  request(): void {
    if (this.#isRequestOpen || this.#sink === undefined) return
    this.#isRequestOpen = true
    this.#sink.write(REQUEST)
  }

  /** Asks even when an answer is due: is the client still there? */
  ask(): void {
    this.#isRequestOpen = false
    this.request()
  }

  /** Takes an `<a h='…'/>` (XEP-0198 §4). */
  acknowledge(h: number): AckOutcome {
    this.#isRequestOpen = false
    if (!this.#understands(h)) return 'too-high'
    const covered = this.#covered(h)
    this.#queue.acknowledge(covered, this.#onTaken)
    // Who answered without having taken anything is not asked again at once, or both would do nothing else.
    if (covered > 0 && this.#queue.length > 0) this.request()
    this.#onRoom()
    return 'fine'
  }

  /**
   * COMPAT(@xmpp/client 0.14): it counts from sending <enable/>, and so what the server wrote before <enabled/>, until it begins anew at <enabled/>.
   * How much that was shows here, and that it is over when the count goes back.
   */
  #understands(h: number): boolean {
    if (this.#isPast(h)) this.#miscount = 0
    const excess = this.#covered(h) - this.#queue.length
    if (excess > 0 && this.#miscount + excess > this.#sentBefore) return false
    if (excess > 0) this.#miscount += excess
    return true
  }

  /** How many of the queue this `h` covers: none, when it was acknowledged before. */
  #covered(h: number): number {
    return this.#isPast(h) ? 0 : this.#queue.covered(h - this.#miscount)
  }

  /** Counts wrap at 2^32 (XEP-0198 §4), so what seems to be more than half of that ahead is behind. */
  #isPast(h: number): boolean {
    return this.#queue.covered(h - this.#miscount) > 0x7fff_ffff
  }

  /** Whether a resume with this `h` is possible. */
  canResume(h: number): boolean {
    return this.#understands(h)
  }

  /** Entries that were sent before XEP-0198 was enabled, which no `h` counts, and that the kernel never took; asked for once, on resuming. */
  unflushed(): readonly LogId[] {
    const marks = this.#before?.untaken().map(({ mark }) => mark) ?? []
    this.#before = undefined
    return marks
  }

  /** Goes on over another stream: what the client has not seen is sent again (XEP-0198 §5). */
  attach(sink: StanzaSink, h: number): number {
    this.#sink = sink
    this.#isRequestOpen = false
    this.#queue.acknowledge(this.#covered(h), this.#onTaken)
    this.#dropGone()
    const again = this.#queue.unacked()
    // While the store does not answer nothing waits for it: what is new would overtake this, and be taken for it by the counts.
    if (this.#recording === undefined || this.#recording.isLate) {
      for (const { data } of again) sink.writeStanza(data)
      if (again.length > 0) this.request()
      this.#recording?.changed()
    } else {
      this.#held = again.map(({ data }) => ({ data, isAgain: true }))
      this.#recording.changed()
    }
    return again.length
  }

  /** What is gone from the ledger since it was recorded is not sent again. */
  #dropGone(): void {
    const unacked = this.#queue.unacked()
    if (!unacked.some(({ data }) => data === '')) return
    this.#queue = new AckQueue(this.#queue.acked)
    for (const { data, mark } of unacked) if (data !== '') this.#queue.push(data, mark)
  }

  /** How many of the last stanzas were sent while no client was connected. */
  get sentDetached(): number {
    return this.#sink === undefined ? this.#queue.length - this.#atDetach : 0
  }

  detach(): void {
    this.#atDetach = this.#queue.length
    this.#sink = undefined
    this.#held = []
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
    const before = this.#before?.untaken() ?? []
    return before.length === 0 ? this.#queue.unacked() : [...before, ...this.#queue.unacked()]
  }
}
