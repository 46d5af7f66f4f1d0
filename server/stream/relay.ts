import type { Bus, NodeId } from '#server/core/bus.ts'
import { wire } from '#stanzas/wire.ts'
import type { Connection } from './connection.ts'
import { LINE_EVENT, LINE_UP, LINE_WINDOW, type LineEvent, type LineOrder } from './remote-connection.ts'

/** At the node that a client is connected to: moves its bytes to the home of its account and back, unread. */
export class Relay {
  readonly node: NodeId
  readonly #bus: Bus
  readonly #number: number
  readonly #connection: Connection
  readonly #onGone: () => void
  /** Bytes that the home has not taken. */
  #onTheWay = 0
  #isHeldByHome = false
  #isHeldByWindow = false
  #written = 0
  #isFlushing = false

  constructor(parts: {
    readonly bus: Bus
    readonly node: NodeId
    readonly number: number
    readonly connection: Connection
    readonly onGone: () => void
  }) {
    this.node = parts.node
    this.#bus = parts.bus
    this.#number = parts.number
    this.#connection = parts.connection
    this.#onGone = parts.onGone
  }

  /** The client has sent this. */
  onData(chunk: Buffer): void {
    this.#onTheWay += chunk.length
    if (!this.#bus.send(this.node, LINE_UP, wire(`${this.#number} ${chunk.toString('latin1')}`))) return this.cut()
    if (this.#onTheWay > LINE_WINDOW && !this.#isHeldByWindow) {
      this.#isHeldByWindow = true
      if (!this.#isHeldByHome) this.#connection.pause()
    }
  }

  /** The connection is gone. */
  onClose(reason: string): void {
    this.#tell('gone', reason)
    this.#onGone()
  }

  /** The home has sent this. */
  write(data: string): void {
    this.#written += data.length
    this.#connection.write(wire(data))
    this.#watchFlush()
  }

  #watchFlush(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    const written = this.#written
    this.#connection.afterFlush(() => {
      this.#isFlushing = false
      this.#tell('flushed', String(written))
      if (this.#written > written) this.#watchFlush()
    })
  }

  #tell(event: LineEvent, what: string): void {
    this.#bus.send(this.node, LINE_EVENT, wire(`${this.#number} ${event} ${what}`))
  }

  /** The home wants this. */
  obey(order: LineOrder, count: number): void {
    switch (order) {
      case 'pause':
        this.#isHeldByHome = true
        if (!this.#isHeldByWindow) this.#connection.pause()
        return
      case 'resume':
        this.#isHeldByHome = false
        if (!this.#isHeldByWindow) this.#connection.resume()
        return
      case 'took':
        this.#onTheWay -= count
        if (!this.#isHeldByWindow || this.#onTheWay > LINE_WINDOW / 2) return
        this.#isHeldByWindow = false
        if (!this.#isHeldByHome) this.#connection.resume()
        return
      case 'keep-alive':
        return this.#connection.keepAlive()
      case 'end':
        return this.#connection.end()
      case 'destroy':
        return this.cut()
    }
  }

  /** Ends the connection without a word: its client comes back, and finds what it missed. */
  cut(): void {
    this.#connection.destroy()
  }
}
