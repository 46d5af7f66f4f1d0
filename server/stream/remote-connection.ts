import type { Bus, NodeId } from '#server/core/bus.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import type { Connection, ConnectionHandler, TlsFacts } from './connection.ts'

/** Messages between the node that a client is connected to (the door) and the one that its account is at home at; each begins with the number that the door gave the connection. */
export const LINE_OPEN = 'line-open'
export const LINE_UP = 'line-up'
export const LINE_DOWN = 'line-down'
export const LINE_EVENT = 'line-event'
export const LINE_ORDER = 'line-order'

/** What the home orders. */
export type LineOrder = 'pause' | 'resume' | 'keep-alive' | 'end' | 'destroy' | 'took'
/** What happens at the door: so many bytes are with the kernel, or the connection is gone. */
export type LineEvent = 'flushed' | 'gone'

/** Bytes that may be on their way to the home and not taken there. */
export const LINE_WINDOW = 262_144

/** What the home is told of a client that comes by another node. */
export interface LineFacts {
  readonly number: number
  readonly remoteAddress: string
  readonly framing: 'stream' | 'frames'
  readonly isPrivate: boolean
  readonly tls: { readonly protocol: string; readonly exporter: string; readonly serverEndPoint: string | undefined } | undefined
  /** What the client has said on its stream so far: its header, whose answer it has had, and everything since. */
  readonly said: readonly string[]
}

/** Splits what follows the number of a line. */
export const readLine = (payload: Wire): readonly [number: number, rest: string] => {
  const space = payload.indexOf(' ')
  return [Number(payload.slice(0, space)), payload.slice(space + 1)]
}

/** A client's connection at another node. */
export class RemoteConnection implements Connection {
  readonly remoteAddress: string
  readonly framing: 'stream' | 'frames'
  readonly isPrivate: boolean
  readonly canStartTls = false
  readonly tls: TlsFacts | undefined
  /** While the client is not to hear what it was told already. */
  isMuted = false
  readonly #bus: Bus
  readonly #door: NodeId
  readonly #number: number
  readonly #waiting: { readonly at: number; readonly run: () => void }[] = []
  #sent = 0
  #flushed = 0
  #took = 0
  #handler: ConnectionHandler | undefined

  constructor(bus: Bus, door: NodeId, facts: LineFacts) {
    this.#bus = bus
    this.#door = door
    this.#number = facts.number
    this.remoteAddress = facts.remoteAddress
    this.framing = facts.framing
    this.isPrivate = facts.isPrivate
    this.tls = facts.tls === undefined ? undefined : tlsFacts(facts.tls)
  }

  get queuedBytes(): number {
    return this.#sent - this.#flushed
  }

  /** Who is told of everything from now on. */
  serve(handler: ConnectionHandler): void {
    this.#handler = handler
  }

  write(data: Wire): void {
    if (this.isMuted) return
    this.#sent += data.length
    if (!this.#bus.send(this.#door, LINE_DOWN, wire(`${this.#number} ${data}`))) this.#order('destroy')
  }

  afterFlush(callback: () => void): void {
    if (this.queuedBytes === 0) setImmediate(callback)
    else this.#waiting.push({ at: this.#sent, run: callback })
  }

  pause(): void {
    this.#order('pause')
  }
  resume(): void {
    this.#order('resume')
  }
  keepAlive(): void {
    this.#order('keep-alive')
  }
  end(): void {
    this.#order('end')
  }
  destroy(): void {
    this.#order('destroy')
  }

  /** TLS was the door's business. */
  startTls(): Promise<void> {
    return Promise.reject(new Error('the connection is at another node'))
  }

  #order(order: LineOrder, count?: number): void {
    if (this.#handler === undefined && order !== 'destroy') return
    this.#bus.send(this.#door, LINE_ORDER, wire(`${this.#number} ${order}${count === undefined ? '' : ` ${count}`}`))
  }

  // ---- what the door tells

  /** The client has sent this. */
  take(data: string): void {
    this.#took += data.length
    if (this.#took * 4 > LINE_WINDOW) {
      this.#order('took', this.#took)
      this.#took = 0
    }
    this.#handler?.onData(Buffer.from(data, 'latin1'))
  }

  /** So many bytes, of all that were written, are with the kernel. */
  flushed(total: number): void {
    this.#flushed = total
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined || first.at > total) return
      this.#waiting.shift()
      first.run()
    }
  }

  /** The connection is gone. */
  gone(reason: string): void {
    const handler = this.#handler
    this.#handler = undefined
    this.#waiting.length = 0
    handler?.onClose(reason)
  }
}

const tlsFacts = ({ protocol, exporter, serverEndPoint }: NonNullable<LineFacts['tls']>): TlsFacts => ({
  protocol,
  exporter: () => Buffer.from(exporter, 'base64'),
  serverEndPoint: () => (serverEndPoint === undefined ? undefined : Buffer.from(serverEndPoint, 'base64')),
})
