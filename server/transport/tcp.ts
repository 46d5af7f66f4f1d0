import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock, Timer } from '#server/base/clock.ts'
import type { Connection, ConnectionHandler, TlsFacts } from '#server/stream/connection.ts'
import type { Wire } from '#stanzas/wire.ts'
import { Outbox } from './outbox.ts'
import { type HandshakeOptions, handshake, reasonOf, SocketTlsFacts, secure } from './tls.ts'

/** What all connections of one listener share. */
export interface TcpOptions {
  readonly clock: Clock
  /** How long a peer may take to read our last words and close. */
  readonly graceMs: number
  /** Where STARTTLS is offered: how. */
  readonly startTls: HandshakeOptions | undefined
  /** Told why a STARTTLS handshake failed. */
  readonly onTlsFailure: (remoteAddress: string, reason: string) => void
}

const owner = Symbol('connection')
type OwnedSocket = Socket & { [owner]?: TcpConnection }

/**
 * A connection over TCP, plain or under TLS. There may be a hundred thousand of them, so each is one object and its outbox:
 * the listeners are shared functions that find their connection on the socket, and only a closing connection has a timer.
 */
export class TcpConnection implements Connection {
  readonly remoteAddress: string
  readonly framing = 'stream'
  #socket: Socket
  readonly #outbox: Outbox
  readonly #options: TcpOptions
  #tls: TlsFacts | undefined
  #handler: ConnectionHandler | undefined
  #grace: Timer | undefined
  #reason: string | undefined

  constructor(socket: Socket, remoteAddress: string, tls: TLSSocket | undefined, options: TcpOptions) {
    this.remoteAddress = remoteAddress
    this.#socket = socket
    this.#outbox = new Outbox(socket, tls !== undefined)
    this.#options = options
    this.#tls = tls === undefined ? undefined : new SocketTlsFacts(tls)
    this.#own(socket)
  }

  get tls(): TlsFacts | undefined {
    return this.#tls
  }

  get isPrivate(): boolean {
    return this.#tls !== undefined
  }

  get canStartTls(): boolean {
    return this.#tls === undefined && this.#options.startTls !== undefined
  }

  get queuedBytes(): number {
    return this.#outbox.queuedBytes
  }

  /** Starts to read for the handler. */
  open(handler: ConnectionHandler): void {
    this.#handler = handler
    this.#socket.resume()
  }

  write(data: Wire): void {
    if (this.#grace === undefined) this.#outbox.add(data)
  }

  keepAlive(): void {
    // RFC 6120 §4.6.1: white space between stanzas means nothing, but finds out whether TCP still works.
    if (this.#grace === undefined) this.#outbox.add(' ')
  }

  afterFlush(callback: () => void): void {
    this.#outbox.afterFlush(callback)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  async startTls(): Promise<void> {
    const options = this.#options.startTls
    if (options === undefined || this.#tls !== undefined) throw new Error('STARTTLS is not possible here')
    const plain = this.#socket
    if (plain.destroyed || this.#grace !== undefined) throw new Error('the connection is closed')
    disown(plain)
    // RFC 6120 §5.4.3.3: what came in the clear behind <starttls/> must not be read as if TLS had protected it.
    plain.pause()
    while (plain.read() !== null);
    this.#outbox.flush()
    const secured = secure(plain, options)
    this.#outbox.secureBy(secured)
    this.#socket = secured
    this.#own(secured)
    try {
      await handshake(secured, options)
    } catch (error) {
      this.#options.onTlsFailure(this.remoteAddress, reasonOf(error))
      throw error
    }
    this.#tls = new SocketTlsFacts(secured)
  }

  end(): void {
    this.#finish('ended')
  }

  destroy(): void {
    this.#reason ??= 'destroyed'
    this.#socket.destroy()
  }

  received(chunk: Buffer): void {
    // After our end nothing more is heard, but it is read: unread bytes would turn our close into a reset that eats our last words.
    if (this.#grace === undefined) this.#handler?.onData(chunk)
  }

  peerEnded(): void {
    this.#finish('closed by peer')
  }

  failed(error: Error): void {
    this.#reason ??= reasonOf(error)
  }

  closed(): void {
    this.#grace?.cancel()
    const handler = this.#handler
    this.#handler = undefined
    handler?.onClose(this.#reason ?? 'closed')
  }

  #finish(reason: string): void {
    if (this.#grace !== undefined || this.#socket.destroyed) return
    this.#reason ??= reason
    this.#grace = this.#options.clock.after(this.#options.graceMs, () => this.#socket.destroy())
    this.#outbox.flush()
    this.#socket.end()
    this.#socket.resume()
  }

  #own(socket: OwnedSocket): void {
    socket[owner] = this
    socket.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose)
  }
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this[owner]?.received(chunk)
}
function onEnd(this: OwnedSocket): void {
  this[owner]?.peerEnded()
}
function onError(this: OwnedSocket, error: Error): void {
  this[owner]?.failed(error)
}
function onClose(this: OwnedSocket): void {
  this[owner]?.closed()
}

const disown = (socket: Socket): void => {
  socket.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose)
}
