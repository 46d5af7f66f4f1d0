/**
 * What the transport itself costs: server CPU for each echoed message of 300 bytes, and memory for each idle connection.
 * The server is a process of its own; a bare Node socket beside it is the floor. Run: node --expose-gc bench/micro/transport.ts
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { systemClock } from '#server/base/clock.ts'
import { nullLog } from '#server/base/log.ts'
import { Metrics } from '#server/base/metrics.ts'
import type { Accept } from '#server/stream/connection.ts'
import { Certificates } from '#server/transport/certificates.ts'
import { HttpServer } from '#server/transport/http.ts'
import { openListeners } from '#server/transport/listener.ts'
import { xmppOverWebSocket } from '#server/transport/websocket.ts'
import { wire } from '#stanzas/wire.ts'

type Carrier = 'bare' | 'tcp' | 'websocket' | 'tls'
type Usage = { readonly cpuUs: number; readonly rssBytes: number }

const BODY_BYTES = 300
const PAYLOAD = Buffer.from(`<message>${'x'.repeat(BODY_BYTES - 19)}</message>`, 'latin1')
const ECHO_CONNECTIONS = 100
const ECHO_MESSAGES = 150_000
const IDLE_CONNECTIONS = 2_000
const ROUNDS = 3

const echo: Accept = (connection) => ({
  onData: (chunk) => connection.write(wire(chunk.toString('latin1'))),
  onClose() {},
})

const serve = async (carrier: Carrier): Promise<number> => {
  if (carrier === 'bare') {
    const server = createServer(
      { noDelay: true },
      (socket) => void socket.on('data', (chunk) => socket.write(chunk)).on('error', () => {}),
    )
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  }
  const data = mkdtempSync(join(tmpdir(), 'transport-bench-'))
  const certificates = new Certificates({
    domain: 'localhost',
    data,
    files: undefined,
    minVersion: 'TLSv1.2',
    curves: ['X25519', 'P-256'],
    clock: systemClock,
    log: nullLog,
  })
  rmSync(data, { recursive: true })
  const upgrade = xmppOverWebSocket({ accept: echo, clock: systemClock, maxFrameBytes: 262_144 })
  const http = new HttpServer({ routes: [], upgrades: { '/xmpp-websocket': upgrade }, log: nullLog })
  const listeners = await openListeners(
    [
      {
        name: 'bench',
        addresses: ['127.0.0.1'],
        port: 0,
        security: carrier === 'tls' ? 'direct' : 'none',
        service: carrier === 'websocket' ? http : { kind: 'xmpp', accept: echo },
      },
    ],
    {
      clock: systemClock,
      log: nullLog,
      metrics: new Metrics(),
      certificates,
      limits: { connections: 100_000, connectionsPerAddress: 100_000, acceptsPerSecond: 100_000 },
      proxies: [],
      reusePort: false,
    },
  )
  return listeners.ports.bench ?? 0
}

const runServer = async (carrier: Carrier): Promise<void> => {
  process.send?.({ port: await serve(carrier) })
  process.on('message', () => {
    globalThis.gc?.()
    const { user, system } = process.cpuUsage()
    const usage: Usage = { cpuUs: user + system, rssBytes: process.memoryUsage.rss() }
    process.send?.(usage)
  })
}

const nextMessage = <T>(child: ChildProcess): Promise<T> => new Promise((resolve) => void child.once('message', resolve))

const usageOf = (child: ChildProcess): Promise<Usage> => {
  child.send('usage')
  return nextMessage<Usage>(child)
}

/** RFC 6455 §5.2: a masked text frame of 126 to 65,535 bytes. */
const maskedFrame = (payload: Buffer): Buffer => {
  const mask = Buffer.of(0x12, 0x34, 0x56, 0x78)
  const head = Buffer.of(0x81, 0xfe, payload.length >> 8, payload.length & 0xff)
  return Buffer.concat([head, mask, payload.map((byte, at) => byte ^ (mask[at & 3] ?? 0))])
}

const HANDSHAKE =
  'GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n'

const open = (carrier: Carrier, port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    if (carrier === 'tls') {
      const secured = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => resolve(secured))
      secured.on('error', reject)
      return
    }
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      if (carrier !== 'websocket') return resolve(socket)
      socket.write(HANDSHAKE)
      socket.once('data', () => resolve(socket))
    })
    socket.on('error', reject)
  })

const openMany = async (carrier: Carrier, port: number, count: number): Promise<Socket[]> => {
  const sockets: Socket[] = []
  while (sockets.length < count)
    sockets.push(...(await Promise.all(Array.from({ length: Math.min(50, count - sockets.length) }, () => open(carrier, port)))))
  return sockets
}

/** Each connection sends the next message when the last one came back, `burst` at a time. */
const echoAll = (sockets: readonly Socket[], carrier: Carrier, burst: number): Promise<void> => {
  const message = Buffer.concat(Array.from({ length: burst }, () => (carrier === 'websocket' ? maskedFrame(PAYLOAD) : PAYLOAD)))
  const answerBytes = burst * (carrier === 'websocket' ? PAYLOAD.length + 4 : PAYLOAD.length)
  const turns = Math.ceil(ECHO_MESSAGES / sockets.length / burst)
  const one = (socket: Socket): Promise<void> =>
    new Promise((resolve) => {
      let missing = answerBytes
      let left = turns
      const onData = (chunk: Buffer): void => {
        missing -= chunk.length
        if (missing > 0) return
        missing = answerBytes
        left--
        if (left > 0) socket.write(message)
        else {
          socket.off('data', onData)
          resolve()
        }
      }
      socket.on('data', onData)
      socket.write(message)
    })
  return Promise.all(sockets.map(one)).then(() => {})
}

const withServer = async <T>(carrier: Carrier, work: (child: ChildProcess, port: number) => Promise<T>): Promise<T> => {
  const child = fork(new URL(import.meta.url), [carrier], { execArgv: ['--expose-gc'] })
  try {
    const { port } = await nextMessage<{ port: number }>(child)
    return await work(child, port)
  } finally {
    child.kill()
  }
}

const measureEcho = (carrier: Carrier, burst: number): Promise<number> =>
  withServer(carrier, async (child, port) => {
    const sockets = await openMany(carrier, port, ECHO_CONNECTIONS)
    await echoAll(sockets, carrier, burst)
    const before = await usageOf(child)
    await echoAll(sockets, carrier, burst)
    const after = await usageOf(child)
    for (const socket of sockets) socket.destroy()
    return (after.cpuUs - before.cpuUs) / ECHO_MESSAGES
  })

const measureIdle = (carrier: Carrier): Promise<number> =>
  withServer(carrier, async (child, port) => {
    // The first connections pay for code and pools.
    const first = await openMany(carrier, port, 300)
    await usageOf(child)
    const before = await usageOf(child)
    const sockets = await openMany(carrier, port, IDLE_CONNECTIONS)
    await usageOf(child)
    const after = await usageOf(child)
    for (const socket of [...first, ...sockets]) socket.destroy()
    return (after.rssBytes - before.rssBytes) / IDLE_CONNECTIONS
  })

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const CARRIERS: readonly Carrier[] = ['bare', 'tcp', 'websocket', 'tls']
const asked = CARRIERS.find((carrier) => carrier === process.argv[2])
if (process.send !== undefined && asked !== undefined) await runServer(asked)
else {
  for (const burst of [1, 10]) {
    const found = new Map<Carrier, number[]>(CARRIERS.map((carrier) => [carrier, []]))
    for (let round = 0; round < ROUNDS; round++)
      for (const carrier of CARRIERS) found.get(carrier)?.push(await measureEcho(carrier, burst))
    for (const [carrier, values] of found)
      console.log(
        `echo of ${BODY_BYTES} B, ${burst} at a time, ${carrier}: ${median(values).toFixed(2)} µs of server CPU a message`,
      )
  }
  for (const carrier of CARRIERS)
    console.log(`idle connection, ${carrier}: ${((await measureIdle(carrier)) / 1024).toFixed(1)} KiB`)
}
