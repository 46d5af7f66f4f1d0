import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import type { Clock, Timer } from '#server/base/clock.ts'
import type { Accept, Connection, ConnectionHandler, TlsFacts } from '#server/stream/connection.ts'
import type { Wire } from '#stanzas/wire.ts'
import { isLoopback } from './forwarded.ts'
import { refuseUpgrade, type Upgrade } from './http.ts'
import { Outbox } from './outbox.ts'
import { TextFrames } from './text-frames.ts'
import { reasonOf, SocketTlsFacts } from './tls.ts'

/** What WebSocket connections share. */
export interface WebSocketOptions {
  readonly accept: Accept
  readonly clock: Clock
  /** The largest frame, or sum of fragments, that is read. */
  readonly maxFrameBytes: number
}

/** RFC 7395 §3.1. */
const SUBPROTOCOL = 'xmpp'
/** RFC 6455 §7.4.1. */
const NORMAL_CLOSURE = 1000
const UNSUPPORTED_DATA = 1003
/** An honest client sends an element in one frame or a few; each fragment costs an object. */
const MAX_FRAGMENTS = 256
/** How long a closing peer may take to answer our close frame. */
const GRACE_MS = 5_000

/**
 * Makes the upgrade to XMPP over WebSocket (RFC 7395). Pages of every origin may connect: nothing here is authorised by
 * cookies, XMPP authenticates inside the stream, so a foreign page gains nothing that it could not do by itself.
 */
export const xmppOverWebSocket = (options: WebSocketOptions): Upgrade => {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // Compressing secrets beside foreign text leaks them (CRIME), and costs 300 KB a connection.
    perMessageDeflate: false,
    maxPayload: options.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    // The XML reader checks UTF-8 itself.
    skipUTF8Validation: true,
    handleProtocols: () => SUBPROTOCOL,
  })
  return (request, socket, head, remoteAddress) => {
    // RFC 7395 §3.1: the subprotocol is what tells XMPP from anything else here.
    if (!offersXmpp(request)) {
      refuseUpgrade(socket, '400 Bad Request', `The subprotocol ${SUBPROTOCOL} is required (RFC 7395 section 3.1).\n`)
      return
    }
    server.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new WebSocketConnection(webSocket, socket, remoteAddress, options)
      connection.open(options.accept(connection))
    })
  }
}

const offersXmpp = (request: IncomingMessage): boolean =>
  (request.headers['sec-websocket-protocol'] ?? '').split(',').some((each) => each.trim() === SUBPROTOCOL)

/**
 * A connection over WebSocket. `ws` upgrades, answers pings, puts fragments together, closes, and judges mistakes; whole text frames go round it in both
 * directions (docs/decisions/0007-websocket-frames.md): a server's is two to ten bytes of head and then the payload as it is, in the same one
 * string a turn that TCP has.
 */
class WebSocketConnection implements Connection {
  readonly remoteAddress: string
  readonly framing = 'frames'
  readonly canStartTls = false
  readonly tls: TlsFacts | undefined
  readonly isPrivate: boolean
  readonly #webSocket: WebSocket
  readonly #socket: Socket
  readonly #outbox: Outbox
  readonly #clock: Clock
  #handler: ConnectionHandler | undefined
  #grace: Timer | undefined
  #reason: string | undefined
  #isBroken = false

  constructor(webSocket: WebSocket, socket: Socket, remoteAddress: string, { clock, maxFrameBytes }: WebSocketOptions) {
    this.remoteAddress = remoteAddress
    this.tls = socket instanceof TLSSocket ? new SocketTlsFacts(socket) : undefined
    this.isPrivate = this.tls !== undefined || isLoopback(socket.localAddress)
    this.#webSocket = webSocket
    this.#socket = socket
    // The library's own frames, such as pings, may come between two writes.
    this.#outbox = new Outbox(socket, false)
    this.#clock = clock
    this.#readAhead(maxFrameBytes)
  }

  /** Puts our reader of whole text frames before the library's, which is given all others. */
  #readAhead(maxFrameBytes: number): void {
    const [theirs] = this.#socket.listeners('data')
    if (theirs === undefined) throw new Error('ws does not read from its socket')
    const frames = new TextFrames(maxFrameBytes, {
      onText: (payload) => {
        if (this.#isOpen()) this.#handler?.onData(payload)
      },
      passOn: (bytes) => {
        // After a mistake the library says why and reads no more.
        if (!this.#isBroken) theirs.call(this.#socket, bytes)
      },
    })
    this.#socket.removeAllListeners('data').on('data', (chunk: Buffer) => frames.read(chunk))
  }

  get queuedBytes(): number {
    return this.#outbox.queuedBytes
  }

  /** Starts to read for the handler. */
  open(handler: ConnectionHandler): void {
    this.#handler = handler
    this.#webSocket
      .on('message', (data, isBinary) => {
        if (this.#grace !== undefined) return
        // RFC 7395 §3.2: only text frames carry XMPP.
        if (isBinary || !Buffer.isBuffer(data)) this.#finish(UNSUPPORTED_DATA, 'binary frame')
        else this.#handler?.onData(data)
      })
      .on('error', (error) => {
        this.#isBroken = true
        this.#reason ??= reasonOf(error)
      })
      .on('close', (code) => {
        this.#grace?.cancel()
        const closing = this.#handler
        this.#handler = undefined
        closing?.onClose(this.#reason ?? `closed by peer with ${code}`)
      })
  }

  write(data: Wire): void {
    if (this.#isOpen()) this.#outbox.add(textFrame(data))
  }

  keepAlive(): void {
    if (this.#isOpen()) this.#outbox.add(PING_FRAME)
  }

  afterFlush(callback: () => void): void {
    this.#outbox.afterFlush(callback)
  }

  pause(): void {
    this.#webSocket.pause()
  }

  resume(): void {
    this.#webSocket.resume()
  }

  startTls(): Promise<void> {
    // RFC 7395 §3.9: TLS is the business of the HTTP connection below.
    return Promise.reject(new Error('STARTTLS is not possible over WebSocket'))
  }

  end(): void {
    this.#finish(NORMAL_CLOSURE, 'ended')
  }

  destroy(): void {
    this.#reason ??= 'destroyed'
    this.#socket.destroy()
  }

  #isOpen(): boolean {
    return this.#grace === undefined && this.#webSocket.readyState === WebSocket.OPEN
  }

  #finish(code: number, reason: string): void {
    if (this.#grace !== undefined || this.#webSocket.readyState === WebSocket.CLOSED) return
    this.#reason ??= reason
    this.#grace = this.#clock.after(GRACE_MS, () => this.#socket.destroy())
    this.#outbox.flush()
    this.#webSocket.resume()
    this.#webSocket.close(code)
  }
}

/** RFC 6455 §5.2: FIN and opcode 9, no payload. */
const PING_FRAME = '\x89\x00'

/** One unmasked, final text frame (RFC 6455 §5.2), as a string of its bytes. */
const textFrame = (payload: Wire): string => {
  const { length } = payload
  if (length < 126) return `\x81${String.fromCharCode(length)}${payload}`
  if (length < 65_536) return `\x81\x7e${String.fromCharCode(length >> 8, length & 0xff)}${payload}`
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(length))
  return `\x81\x7f${size.toString('latin1')}${payload}`
}
