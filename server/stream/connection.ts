import type { Wire } from '#stanzas/wire.ts'

/** What TLS proved about a connection, for SASL channel binding (RFC 9266, RFC 5929). */
export interface TlsFacts {
  readonly protocol: string
  /** 32 bytes of keying material (RFC 9266). */
  exporter(): Buffer
  /** The hash of the server's certificate (RFC 5929 §4); `undefined` when its signature has no usable hash. */
  serverEndPoint(): Buffer | undefined
}

/** One client's connection, whatever carries it: TCP, TLS, WebSocket, or memory in tests. */
export interface Connection {
  /** The peer's IP address, after a PROXY header. */
  readonly remoteAddress: string
  /** `stream`: one document for the whole session (RFC 6120). `frames`: one element a frame (RFC 7395). */
  readonly framing: 'stream' | 'frames'
  /** Set once TLS protects the connection. */
  readonly tls: TlsFacts | undefined
  /** Whether nobody on the way can read along: TLS, or a way that does not leave this machine (a reverse proxy's last hop). */
  readonly isPrivate: boolean
  /** Whether STARTTLS can be done here: plain TCP with a certificate. */
  readonly canStartTls: boolean
  /** Queues bytes; all that was queued in one turn of the loop is written at once at its end. With `frames`, each call is one frame. */
  write(data: Wire): void
  /** Calls back when the kernel has taken everything queued so far; never, when the connection breaks first. In order. */
  afterFlush(callback: () => void): void
  /** Bytes queued that the kernel has not taken. */
  readonly queuedBytes: number
  /** Stops and restarts reading, so that a peer that floods is slowed down by TCP. */
  pause(): void
  resume(): void
  /** Starts the server side of TLS on the socket; resolves when the handshake is done, rejects when it fails. */
  startTls(): Promise<void>
  /** Sends what the peer's XML reader does not see as an element, to find out whether the peer is there: white space (RFC 6120 §4.6.1), or a WebSocket ping. */
  keepAlive(): void
  /** Writes what is queued, then closes in the carrier's own way (FIN after close_notify; WebSocket close). Cuts after a grace time. */
  end(): void
  /** Cuts at once. */
  destroy(): void
}

/** The owner of a connection. Nothing is called after `onClose`. */
export interface ConnectionHandler {
  /** Bytes (`stream`), or one whole frame (`frames`). */
  onData(chunk: Buffer): void
  /** The connection is gone, once; the reason is for the log. */
  onClose(reason: string): void
}

/** Takes a new connection; what it returns is told of everything that happens to it. */
export type Accept = (connection: Connection) => ConnectionHandler
