import type { Socket } from 'node:net'

/**
 * What one socket is about to say. Everything queued in a turn of the loop becomes one string and one write at the turn's
 * end: a write costs far more than its bytes, and on TLS each write is a record of its own. The end of the turn is one
 * `setImmediate` for all sockets together, so a stanza that goes to 500 sessions schedules one callback, not 500.
 */
export class Outbox {
  #socket: Socket
  #text = ''
  #callbacks: (() => void)[] | undefined
  #isDue = false

  constructor(socket: Socket) {
    this.#socket = socket
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
    if (callbacks === undefined) socket.write(text, 'latin1')
    // An empty write keeps its place behind earlier ones, so callbacks stay in order.
    else socket.write(text, 'latin1', (error) => finish(socket, callbacks, error))
  }

  /** Goes on with another socket that carries the same connection: TLS over the plain one. */
  moveTo(socket: Socket): void {
    this.flush()
    this.#socket = socket
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
  for (const outbox of outboxes) outbox.flush()
}

const finish = (socket: Socket, callbacks: readonly (() => void)[], error: Error | null | undefined): void => {
  if (error) return
  for (const callback of callbacks) {
    if (socket.destroyed) return
    callback()
  }
}
