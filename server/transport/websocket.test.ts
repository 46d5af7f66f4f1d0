import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import { nullLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { type Accepted, dial, listening, localCertificates, recorder } from '#server/testing/listening.ts'
import { wire } from '#stanzas/wire.ts'
import { HttpServer } from './http.ts'
import type { TransportOptions } from './listener.ts'
import { xmppOverWebSocket } from './websocket.ts'

const MAX_FRAME_BYTES = 100_000
const PATH = '/xmpp-websocket'

const serving = async (
  respond?: (accepted: Accepted, chunk: Buffer) => void,
  options: Partial<TransportOptions> = {},
  security: 'none' | 'direct' = 'none',
) => {
  const server = recorder(respond)
  const clock = options.clock ?? new FakeClock()
  const upgrade = xmppOverWebSocket({ accept: server.accept, clock, maxFrameBytes: MAX_FRAME_BYTES })
  const service = new HttpServer({ routes: [], upgrades: { [PATH]: upgrade }, log: nullLog })
  const { port } = await listening([{ security, service }], options)
  return { port, next: server.next }
}

const echoing = () => serving(({ connection }, chunk) => connection.write(wire(chunk.toString('latin1'))))

/** A client of `ws`, with the frames it gets one by one. */
const client = async (
  port: number,
  { scheme = 'ws', protocol = 'xmpp', ...options }: ClientOptions & { scheme?: string; protocol?: string } = {},
) => {
  const socket = new WebSocket(`${scheme}://127.0.0.1:${port}${PATH}`, protocol, options)
  onTestFinished(() => socket.terminate())
  const frames: string[] = []
  const waiting: (() => void)[] = []
  socket.on('message', (data, isBinary) => {
    frames.push(isBinary ? 'binary' : data.toString())
    for (const look of waiting.splice(0)) look()
  })
  const closed = new Promise<number>((resolve) => void socket.on('close', resolve))
  await new Promise<void>((resolve, reject) => void socket.on('open', resolve).on('error', reject))
  const until = async (count: number): Promise<readonly string[]> => {
    while (frames.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    return frames
  }
  return { socket, until, closed }
}

const pair = async (options: Partial<TransportOptions> = {}) => {
  const { port, next } = await serving(undefined, options)
  const peer = await client(port)
  return { peer, ...(await next()) }
}

describe('the handshake', () => {
  test('RFC 7395 §3.1: agrees on the subprotocol xmpp', async () => {
    const { peer, connection } = await pair()
    expect(peer.socket.protocol).toBe('xmpp')
    expect(connection).toMatchObject({ remoteAddress: '127.0.0.1', framing: 'frames', tls: undefined, canStartTls: false })
  })

  test('picks xmpp from several', async () => {
    const { port } = await serving()
    const socket = new WebSocket(`ws://127.0.0.1:${port}${PATH}`, ['soap', 'xmpp'])
    onTestFinished(() => socket.terminate())
    await new Promise((resolve) => socket.on('open', resolve))
    expect(socket.protocol).toBe('xmpp')
  })

  test('RFC 7395 §3.1: without the subprotocol it is refused with 400', async () => {
    const { port } = await serving()
    await expect(client(port, { protocol: 'soap' })).rejects.toThrow('400')
  })

  test('compression is not agreed on', async () => {
    const { port } = await serving()
    const { socket } = await client(port, { perMessageDeflate: true })
    expect(socket.extensions).toBe('')
  })

  test('frames that come with the request are not lost', async () => {
    const { port, next } = await serving()
    const { socket } = await dial(port)
    const head = `GET ${PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`
    const key = randomBytes(16).toString('base64')
    const frame = Buffer.concat([Buffer.of(0x81, 0x84, 0, 0, 0, 0), Buffer.from('<a/>')])
    socket.write(Buffer.concat([Buffer.from(`${head}Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n`), frame]))
    expect(await (await next()).inbox.until('<a/>')).toBe('<a/>')
  })

  test('RFC 9266: under TLS the channel can be bound to', async () => {
    const certificates = localCertificates()
    const { port, next } = await serving(undefined, { certificates }, 'direct')
    await client(port, { scheme: 'wss', ca: readFileSync(certificates.caPath ?? '') })
    const { connection } = await next()
    expect(connection.tls?.exporter()).toHaveLength(32)
    expect(connection.tls?.serverEndPoint()).toHaveLength(32)
  })
})

describe('frames', () => {
  test.each([0, 1, 125, 126, 127, 65_535, 65_536, MAX_FRAME_BYTES])(
    'RFC 6455 §5.2: of %i bytes pass both ways',
    async (bytes) => {
      const { port } = await echoing()
      const { socket, until } = await client(port)
      const text = 'x'.repeat(bytes)
      socket.send(text)
      expect(await until(1)).toEqual([text])
    },
  )

  test('text in any script passes as its bytes', async () => {
    const { port } = await echoing()
    const { socket, until } = await client(port)
    socket.send('<body>Žižka ☂ 𝄞</body>')
    expect(await until(1)).toEqual(['<body>Žižka ☂ 𝄞</body>'])
  })

  test('RFC 7395 §3.3: each write is a frame of its own, and those of a turn leave in one segment', async () => {
    const { port, next } = await serving()
    const { socket, inbox } = await dial(port)
    socket.write(
      `GET ${PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n`,
    )
    const { connection } = await next()
    await inbox.until('\r\n\r\n')
    const { length, arrivals } = inbox
    for (let count = 0; count < 10; count++) connection.write(wire('<presence/>'))
    await inbox.until(length + 10 * (2 + '<presence/>'.length))
    expect(inbox.arrivals - arrivals).toBe(1)
  })

  test('RFC 6455 §5.4: fragments arrive as one', async () => {
    const { peer, inbox } = await pair()
    peer.socket.send('<mess', { fin: false })
    peer.socket.send('age', { fin: false })
    peer.socket.send('/>', { fin: true })
    expect(await inbox.until('/>')).toBe('<message/>')
    expect(inbox.arrivals).toBe(1)
  })

  test('RFC 7395 §3.2: a binary frame closes with 1003', async () => {
    const { peer, inbox, closed } = await pair()
    peer.socket.send(Buffer.from('<message/>'))
    peer.socket.send('<late/>')
    expect(await peer.closed).toBe(1003)
    expect(await closed).toBe('binary frame')
    expect(inbox.length).toBe(0)
  })

  test('RFC 6455 §7.4.1: a frame, or fragments, beyond the limit close with 1009', async () => {
    const { port, next } = await serving()
    const whole = await client(port)
    whole.socket.send('x'.repeat(MAX_FRAME_BYTES + 1))
    expect(await whole.closed).toBe(1009)
    expect(await (await next()).closed).toBe('WS_ERR_UNSUPPORTED_MESSAGE_LENGTH')
    const pieces = await client(port)
    pieces.socket.send('x'.repeat(MAX_FRAME_BYTES), { fin: false })
    pieces.socket.send('x', { fin: true })
    expect(await pieces.closed).toBe(1009)
  })

  test('more fragments than an honest client needs close with 1008', async () => {
    const { peer } = await pair()
    for (let count = 0; count < 300; count++) peer.socket.send('x', { fin: false })
    expect(await peer.closed).toBe(1008)
  })

  test('RFC 6455 §5.5.2: a ping is answered, and ours is', async () => {
    const { peer, connection } = await pair()
    const pong = new Promise<string>((resolve) => peer.socket.once('pong', (data) => resolve(data.toString())))
    peer.socket.ping('alive')
    expect(await pong).toBe('alive')
    const ping = new Promise<void>((resolve) => peer.socket.once('ping', () => resolve()))
    connection.keepAlive()
    await ping
  })
})

describe('flow and end', () => {
  test('callbacks come in order, and what the peer does not read is queued', async () => {
    const { peer, connection } = await pair()
    const order: number[] = []
    connection.write(wire('<a/>'))
    connection.afterFlush(() => order.push(1))
    await new Promise<void>((resolve) => connection.afterFlush(resolve))
    expect(order).toEqual([1])
    peer.socket.pause()
    connection.write(wire('x'.repeat(16 * 1024 * 1024)))
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(connection.queuedBytes).toBeGreaterThan(0)
  })

  test('a paused connection reads no more until it is resumed', async () => {
    const { peer, connection, inbox } = await pair()
    peer.socket.send('<one/>')
    await inbox.until('<one/>')
    connection.pause()
    peer.socket.send('<two/>')
    connection.write(wire('<marker/>'))
    await peer.until(1)
    await new Promise(setImmediate)
    expect(inbox.text).toBe('<one/>')
    connection.resume()
    await inbox.until('<two/>')
  })

  test('RFC 7395 §3.6: the end writes what is queued, then closes with 1000; what comes after is not heard', async () => {
    const { peer, connection, inbox, closed } = await pair()
    connection.write(wire("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"))
    connection.end()
    connection.write(wire('<late/>'))
    peer.socket.send('<late/>')
    expect(await peer.closed).toBe(1000)
    expect(await peer.until(1)).toEqual(["<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"])
    expect(await closed).toBe('ended')
    expect(inbox.length).toBe(0)
  })

  test('a peer that does not answer our close is cut after a grace time', async () => {
    const clock = new FakeClock()
    const { peer, connection, closed } = await pair({ clock })
    peer.socket.pause()
    connection.end()
    clock.advance('5s')
    expect(await closed).toBe('ended')
  })

  test('a peer that closes is told with its code, one that breaks off too', async () => {
    const first = await pair()
    first.peer.socket.close(1001)
    expect(await first.closed).toBe('closed by peer with 1001')
    const second = await pair()
    second.peer.socket.terminate()
    expect(await second.closed).toBe('closed by peer with 1006')
  })

  test('a destroyed connection is cut at once', async () => {
    const { peer, connection, closed } = await pair()
    connection.write(wire('<lost/>'))
    connection.destroy()
    connection.write(wire('<late/>'))
    connection.end()
    expect(await peer.closed).toBe(1006)
    expect(await closed).toBe('destroyed')
  })

  test('RFC 7395 §3.9: there is no STARTTLS here', async () => {
    const { connection } = await pair()
    await expect(connection.startTls()).rejects.toThrow('STARTTLS')
  })
})
