import type { Writable } from 'node:stream'

/**
 * Node encrypts into a buffer of 1 KiB, and from the first write on that does not fit there, it keeps 16 KiB more with the TLS socket for as long as that
 * lives. With what TLS adds, so many bytes fit.
 */
const SMALL_BYTES = 1_000

/**
 * What one socket is about to say. Everything queued in a turn of the loop becomes one string and one write at the turn's
 * end: a write costs far more than its bytes, and on TLS each write is a record of its own. The end of the turn is one
 * `setImmediate` for all sockets together, so a stanza that goes to 500 sessions schedules one callback, not 500.
 */
export class Outbox {
  #socket: Writable
  #text = ''
  #callbacks: (() => void)[] | undefined
  #isDue = false
  /**
   * Whether what is written next goes in small parts. Only a server's first words under TLS do, its stream header and features: stanzas stay whole.
   * COMPAT(@xmpp/client 0.14): its empty writes make Node hand it the next record while it still parses the one before.
   */
  #isParted: boolean

  /** With `isParted`, what it says first may go in parts, so that nobody else may write to the socket. */
  constructor(socket: Writable, isParted: boolean) {
    this.#socket = socket
    this.#isParted = isParted
  }

  /** Queues bytes for the end of this turn. */
  add(data: string): void {
    if (this.#socket.writableEnded || this.#socket.destroyed) return
    this.#text += data
    if (!this.#isDue) this.#schedule()
  }

  /** Calls back once the kernel has taken what is queued now; never, when the socket breaks first. */
  afterFlush(callback: () => void): void {
    if (this.#socket.writableEnded || this.#socket.destroyed) return
    if (this.#callbacks === undefined) this.#callbacks = [callback]
    else this.#callbacks.push(callback)
    if (!this.#isDue) this.#schedule()
  }

  /** Bytes that wait here and in the socket. */
  get queuedBytes(): number {
    return this.#text.length + this.#socket.writableLength
  }

  /** Writes what is queued without waiting for the end of the turn. */
  flush(): void {
    this.#isDue = false
    const text = this.#text
    const callbacks = this.#callbacks
    if (text === '' && callbacks === undefined) return
    this.#text = ''
    this.#callbacks = undefined
    const socket = this.#socket
    if (socket.writableEnded || socket.destroyed) return
    this.#isParted = false
    if (callbacks === undefined) socket.write(text, 'latin1')
    // An empty write keeps its place behind earlier ones, so callbacks stay in order.
    else socket.write(text, 'latin1', (error) => finish(socket, callbacks, error))
  }

  /** Goes on under TLS, over the same connection. */
  secureBy(socket: Writable): void {
    this.flush()
    this.#socket = socket
    this.#isParted = true
  }

  /** Writes what is queued at the end of the turn, or a small part of it and the rest when that is on its way. */
  flushTurn(): void {
    if (!this.#isParted || this.#text.length <= SMALL_BYTES) return this.flush()
    const part = this.#text.slice(0, SMALL_BYTES)
    this.#text = this.#text.slice(SMALL_BYTES)
    if (this.#socket.writableEnded || this.#socket.destroyed) return
    this.#socket.write(part, 'latin1', () => this.flushTurn())
  }

  #schedule(): void {
    this.#isDue = true
    if (due.length === 0) setImmediate(flushDue)
    due.push(this)
  }
}

let due: Outbox[] = []

const flushDue = (): void => {
  const outboxes = due
  due = []
  for (const outbox of outboxes) outbox.flushTurn()
}

const finish = (socket: Writable, callbacks: readonly (() => void)[], error: Error | null | undefined): void => {
  if (error) return
  for (const callback of callbacks) {
    if (socket.destroyed) return
    callback()
  }
}
