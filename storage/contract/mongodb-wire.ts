import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'

/** What becomes of a command on its way: `pass`; `lose`: it never arrives; `mute`: it is carried out, and the answer is lost. */
export type Fate = 'pass' | 'lose' | 'mute'

/** Stands between a driver and its server, sees each command, and may cut the connection it came by. */
export interface CommandProxy {
  readonly url: string
  fate: (command: Document) => Fate
  /** Ends all connections, as a server that is stopped does. */
  hangUp(): void
  close(): Promise<void>
}

const OP_MSG = 2013
const OP_QUERY = 2004
const OP_REPLY = 1
const HEADER_BYTES = 16

/** Cuts a stream of bytes into the messages of MongoDB's protocol. */
const messages = (take: (message: Buffer) => void): ((chunk: Buffer) => void) => {
  let kept = Buffer.alloc(0)
  return (chunk) => {
    kept = Buffer.concat([kept, chunk])
    while (kept.length >= HEADER_BYTES && kept.length >= kept.readInt32LE(0)) {
      const length = kept.readInt32LE(0)
      take(kept.subarray(0, length))
      kept = kept.subarray(length)
    }
  }
}

const documentAt = (bytes: Buffer, at: number): { readonly document: Document; readonly end: number } => {
  const end = at + bytes.readInt32LE(at)
  return { document: BSON.deserialize(bytes.subarray(at, end)), end }
}

/** The command in a message; the first one of a connection has an older form, and statements may follow in a section of their own. */
const commandOf = (message: Buffer): Document => {
  if (message.readInt32LE(12) !== OP_MSG) return documentAt(message, message.indexOf(0, HEADER_BYTES + 4) + 9).document
  const { document, end } = documentAt(message, HEADER_BYTES + 5)
  for (let at = end; at < message.length && message[at] === 1; ) {
    const sectionEnd = at + 1 + message.readInt32LE(at + 1)
    const nameEnd = message.indexOf(0, at + 5)
    const statements: Document[] = []
    for (let next = nameEnd + 1; next < sectionEnd; ) {
      const found = documentAt(message, next)
      statements.push(found.document)
      next = found.end
    }
    document[message.toString('utf8', at + 5, nameEnd)] = statements
    at = sectionEnd
  }
  return document
}

/** Starts a proxy in front of the server of this URL. */
export const proxyTo = async (url: string): Promise<CommandProxy> => {
  const [, host = '', port = '', rest = ''] = /^mongodb:\/\/([^/:]+):(\d+)(.*)$/.exec(url) ?? []
  const sockets = new Set<Socket>()
  const proxy = { url: '', fate: (_: Document): Fate => 'pass' }
  const server = createServer((client) => {
    const upstream = connect(Number(port), host)
    let isMute = false
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
    client.on(
      'data',
      messages((message) => {
        const fate = proxy.fate(commandOf(message))
        if (fate === 'lose') return end()
        isMute ||= fate === 'mute'
        upstream.write(message)
      }),
    )
    upstream.on('data', (chunk) => (isMute ? end() : client.write(chunk)))
  })
  proxy.url = `mongodb://127.0.0.1:${await listening(server)}${rest}${rest.includes('?') ? '&' : '?'}directConnection=true`
  return Object.assign(proxy, {
    hangUp() {
      for (const socket of sockets) socket.end()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  })
}

const listening = async (server: Server): Promise<number> => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A server that gives these answers, for what no server at hand can be brought to say. */
export const fakeServer = async (
  answer: (command: Document) => Document,
): Promise<{ readonly url: string; close(): Promise<void> }> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on(
      'data',
      messages((message) => socket.write(replyTo(message, BSON.serialize(answer(commandOf(message)))))),
    )
  })
  const url = `mongodb://127.0.0.1:${await listening(server)}/waxwing`
  return {
    url,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const replyTo = (request: Buffer, document: Uint8Array): Buffer => {
  const isOld = request.readInt32LE(12) === OP_QUERY
  const head = Buffer.alloc(isOld ? HEADER_BYTES + 20 : HEADER_BYTES + 5)
  head.writeInt32LE(head.length + document.length, 0)
  head.writeInt32LE(request.readInt32LE(4), 8)
  head.writeInt32LE(isOld ? OP_REPLY : OP_MSG, 12)
  if (isOld) head.writeInt32LE(1, HEADER_BYTES + 16)
  return Buffer.concat([head, document])
}
