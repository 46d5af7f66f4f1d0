import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { StanzaSplitter } from './stanza-splitter.ts'

/** Where a client connects to; certificates are not checked, the servers are our own. */
export type Target =
  | { readonly kind: 'tcp'; readonly port: number; readonly domain: string }
  | { readonly kind: 'starttls'; readonly port: number; readonly domain: string }
  | { readonly kind: 'tls'; readonly port: number; readonly domain: string }
  | { readonly kind: 'websocket'; readonly url: string; readonly domain: string }

/** What a client has of its last connection over TLS, and takes up the next one with (RFC 8446 §2.2). */
export type Ticket = { session?: Buffer }

/** One stream to a server, over TCP, TLS or WebSocket: whole stanzas in, whole stanzas out. Text in is latin1, not decoded. */
export type Connection = {
  readonly send: (xml: string) => void
  /** Opens the stream, or opens it anew after SASL. */
  readonly openStream: () => void
  /** Stops reading, as a client behind a dead radio link does. */
  readonly stall: () => void
  readonly close: () => void
  /** Drops the connection without a word. */
  readonly destroy: () => void
  readonly upgrade: () => Promise<void>
  /** What tells this TLS connection from all others (RFC 9266); nothing without TLS. */
  readonly binding: () => Buffer
  onStanza: (xml: string) => void
  onClose: () => void
}

/** Connects to a server; the signal drops the connection, made or not. A ticket is used, and renewed, over direct TLS. */
export function connect(target: Target, signal?: AbortSignal, ticket?: Ticket): Promise<Connection> {
  return target.kind === 'websocket' ? connectWebSocket(target.url, target.domain) : connectSocket(target, signal, ticket)
}

type SocketTarget = Exclude<Target, { kind: 'websocket' }>

async function connectSocket({ kind, port, domain }: SocketTarget, signal?: AbortSignal, ticket?: Ticket): Promise<Connection> {
  const tls = {
    ...{ host: '127.0.0.1', port, servername: domain, rejectUnauthorized: false, ALPNProtocols: ['xmpp-client'] },
    ...(ticket?.session && { session: ticket.session }),
  }
  let socket: Socket | TLSSocket = kind === 'tls' ? connectTls(tls) : connectTcp({ host: '127.0.0.1', port, noDelay: true })
  if (ticket !== undefined) socket.on('session', (session: Buffer) => (ticket.session = session))
  signal?.addEventListener('abort', () => socket.destroy(new Error('given up')), { once: true })
  let waiting = ''
  const splitter = new StanzaSplitter((xml) => connection.onStanza(xml))
  const flush = () => {
    const text = waiting
    waiting = ''
    if (socket.writable) socket.write(text)
  }
  const listen = () => {
    socket.on('data', (chunk: Buffer) => splitter.push(chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => connection.onClose())
  }
  const connection: Connection = {
    send(xml) {
      if (waiting === '') setImmediate(flush)
      waiting += xml
    },
    openStream() {
      splitter.reset()
      connection.send(
        `<?xml version='1.0'?><stream:stream to='${domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`,
      )
    },
    stall: () => socket.pause(),
    close: () => connection.send('</stream:stream>'),
    destroy: () => socket.destroy(),
    binding: () =>
      socket instanceof TLSSocket
        ? socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
        : Buffer.alloc(0),
    async upgrade() {
      socket.removeAllListeners()
      const secure = connectTls({ socket, servername: domain, rejectUnauthorized: false })
      await established(secure, 'secureConnect')
      socket = secure
      listen()
    },
    onStanza: () => undefined,
    onClose: () => undefined,
  }
  await established(socket, kind === 'tls' ? 'secureConnect' : 'connect')
  listen()
  return connection
}

async function connectWebSocket(url: string, domain: string): Promise<Connection> {
  const socket = new WebSocket(url, 'xmpp', { perMessageDeflate: false, rejectUnauthorized: false })
  let below: Socket | undefined
  let isCorked = false
  const uncork = () => {
    isCorked = false
    below?.uncork()
  }
  socket.once('upgrade', (response) => {
    below = response.socket
  })
  const connection: Connection = {
    // RFC 7395 §3.3: one stanza, one message; each is a document of its own and declares its namespace.
    send: (xml) => {
      if (socket.readyState !== WebSocket.OPEN) return
      // One write a turn, as over TCP: otherwise the rows would compare how clients write.
      if (!isCorked && below !== undefined) {
        isCorked = true
        below.cork()
        setImmediate(uncork)
      }
      socket.send(xml)
    },
    openStream: () => connection.send(`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${domain}' version='1.0'/>`),
    stall: () => socket.pause(),
    close: () => connection.send(`<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>`),
    destroy: () => socket.terminate(),
    binding: () => Buffer.alloc(0),
    upgrade: () => Promise.reject(new Error('WebSocket has no STARTTLS (RFC 7395 §3.9)')),
    onStanza: () => undefined,
    onClose: () => undefined,
  }
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => connection.onClose())
  socket.on('message', (data) => {
    const xml = Buffer.isBuffer(data) ? data.toString('latin1') : ''
    if (!xml.startsWith('<open ')) connection.onStanza(xml)
  })
  return connection
}

function established(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once(event, () => {
      socket.off('error', reject)
      resolve()
    })
  })
}
