import { readFileSync } from 'node:fs'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { type ConnectionOptions, connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { type Accepted, dial, Inbox, listening, localCertificates, recorder } from '#server/testing/listening.ts'
import { wire } from '#stanzas/wire.ts'
import type { TransportOptions } from './listener.ts'
import { reasonOf } from './tls.ts'

const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

/** A server that offers STARTTLS as the stream layer does, and records how the handshake went. */
const startTlsServer = async (options: Partial<TransportOptions> = {}) => {
  const outcome = Promise.withResolvers<string>()
  const certificates = localCertificates()
  const server = recorder(({ connection }, chunk) => {
    if (connection.tls !== undefined || !chunk.includes(STARTTLS)) return
    connection.write(wire(PROCEED))
    connection.startTls().then(
      () => outcome.resolve('secured'),
      (error: unknown) => outcome.resolve(reasonOf(error)),
    )
  })
  const opened = await listening([{ security: 'starttls', service: { kind: 'xmpp', accept: server.accept } }], {
    certificates,
    ...options,
  })
  return { ...opened, next: server.next, outcome: outcome.promise, ca: readFileSync(certificates.caPath ?? '') }
}

const directServer = async (respond?: (accepted: Accepted) => void, options: Partial<TransportOptions> = {}) => {
  const certificates = localCertificates()
  const server = recorder(respond)
  const opened = await listening([{ security: 'direct', service: { kind: 'xmpp', accept: server.accept } }], {
    certificates,
    ...options,
  })
  return { ...opened, next: server.next, certificates, ca: readFileSync(certificates.caPath ?? '') }
}

const secureClient = (
  options: ConnectionOptions,
): Promise<{ readonly socket: TLSSocket; readonly inbox: Inbox; readonly session: Promise<Buffer> }> =>
  new Promise((resolve, reject) => {
    const inbox = new Inbox()
    const session = Promise.withResolvers<Buffer>()
    const socket = connect({ servername: 'localhost', ...(options.socket ? {} : { host: '127.0.0.1' }), ...options }, () =>
      resolve({ socket, inbox, session: session.promise }),
    )
    socket
      .on('data', (chunk: Buffer) => inbox.add(chunk))
      .on('error', reject)
      .on('session', session.resolve)
    onTestFinished(() => void socket.destroy())
  })

const upgraded = async (port: number, options: ConnectionOptions) => {
  const { socket, inbox } = await dial(port)
  socket.write(STARTTLS)
  await inbox.until(PROCEED)
  socket.removeAllListeners('data')
  return secureClient({ ...options, socket })
}

const only = (version: SecureVersion): ConnectionOptions => ({ minVersion: version, maxVersion: version })
const exporterOf = (socket: TLSSocket): Buffer => socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
  test('RFC 6120 §5.4.3: a client that asks for STARTTLS goes on under TLS', async () => {
    const { port, ca, next, outcome } = await startTlsServer()
    const client = await upgraded(port, { ...only(version), ca })
    expect(await outcome).toBe('secured')
    const { connection, inbox } = await next()
    expect(connection.canStartTls).toBe(false)
    expect(connection.tls?.protocol).toBe(version)
    client.socket.write('<stream:stream>')
    await inbox.until(`${STARTTLS}<stream:stream>`)
    connection.write(wire('<stream:features/>'))
    expect(await client.inbox.until('<stream:features/>')).toBe('<stream:features/>')
  })

  test('RFC 9266: the exporter is the same at both ends', async () => {
    const { port, ca, next, outcome } = await startTlsServer()
    const client = await upgraded(port, { ...only(version), ca })
    await outcome
    const { connection } = await next()
    expect(connection.tls?.exporter()).toEqual(exporterOf(client.socket))
    expect(connection.tls?.exporter()).toHaveLength(32)
  })

  test('RFC 5929 §4: the end point is the hash of the certificate that the client saw', async () => {
    const { port, ca, next } = await directServer()
    const client = await secureClient({ ...only(version), port, ca })
    const { connection } = await next()
    const seen = client.socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase()
    expect(connection.tls?.serverEndPoint()?.toString('hex')).toBe(seen)
  })

  test('RFC 6120 §4.4, CLIENTS Dino: the end of the stream comes with close_notify before FIN', async () => {
    const { port, ca } = await directServer(({ connection }) => {
      connection.write(wire('</stream:stream>'))
      connection.end()
    })
    const relay = await recordingRelay(port)
    const client = await secureClient({ ...only(version), port: relay.port, ca })
    const ended = new Promise<void>((resolve) => client.socket.once('end', resolve))
    client.socket.write('</stream:stream>')
    await ended
    expect(client.inbox.text).toBe('</stream:stream>')
    // TLS 1.3 hides an alert's type in a record of application data (RFC 8446 §5.2): 2 bytes, its real type, a tag of 16.
    expect(relay.lastRecord()).toEqual(version === 'TLSv1.2' ? { type: 21, bytes: 26 } : { type: 23, bytes: 19 })
  })

  test('a session is resumed with a ticket', async () => {
    const { port, ca } = await directServer(({ connection }) => connection.write(wire('<hello/>')))
    const first = await secureClient({ ...only(version), port, ca })
    first.socket.write('<hello/>')
    const second = await secureClient({ ...only(version), port, ca, session: await first.session })
    expect(second.socket.isSessionReused()).toBe(true)
  })
})

/** Passes bytes on in both directions and knows the server's last TLS record. */
const recordingRelay = async (port: number) => {
  const chunks: Buffer[] = []
  const server = createServer((near) => {
    const far: Socket = connectTcp({ port, host: '127.0.0.1' })
    far.on('data', (chunk) => chunks.push(chunk))
    near.pipe(far).pipe(near)
    near.on('error', () => far.destroy())
    far.on('error', () => near.destroy())
  })
  onTestFinished(() => void server.close())
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const lastRecord = () => {
    const bytes = Buffer.concat(chunks)
    let last = { type: 0, bytes: 0 }
    for (let at = 0; at + 5 <= bytes.length; at += 5 + last.bytes)
      last = { type: bytes.readUInt8(at), bytes: bytes.readUInt16BE(at + 3) }
    return last
  }
  return { port: typeof address === 'object' && address !== null ? address.port : 0, lastRecord }
}

describe('STARTTLS', () => {
  test('RFC 6120 §5.4.3.3: nothing that was sent in the clear behind <starttls/> is read as if TLS protected it', async () => {
    const { port, ca, next, outcome } = await startTlsServer()
    const { socket, inbox } = await dial(port)
    socket.write(`${STARTTLS}<injected/>`)
    await inbox.until(PROCEED)
    socket.removeAllListeners('data')
    const client = await secureClient({ ca, socket })
    await outcome
    const { inbox: received } = await next()
    const before = received.length
    client.socket.write('<protected/>')
    await received.until('<protected/>')
    expect(received.text.slice(before)).toBe('<protected/>')
  })

  test('RFC 6120 §5.4.3.3: what waits unread while the connection is paused is dropped as well', async () => {
    const certificates = localCertificates()
    const server = recorder(({ connection }) => connection.pause())
    const { port } = await listening([{ security: 'starttls', service: { kind: 'xmpp', accept: server.accept } }], {
      certificates,
    })
    const { socket, inbox } = await dial(port)
    socket.write(STARTTLS)
    const { connection, inbox: received } = await server.next()
    await received.until(STARTTLS)
    socket.write('<injected/>')
    connection.write(wire('<marker/>'))
    await inbox.until('<marker/>')
    await new Promise(setImmediate)
    connection.write(wire(PROCEED))
    const upgrade = connection.startTls()
    await inbox.until(PROCEED)
    socket.removeAllListeners('data')
    const client = await secureClient({ ca: readFileSync(certificates.caPath ?? ''), socket })
    await upgrade
    client.socket.write('<protected/>')
    expect(await received.until('<protected/>')).toBe(`${STARTTLS}<protected/>`)
  })

  test('a handshake that fails rejects, closes the connection, and is counted with its reason', async () => {
    const { port, next, outcome, entries, metrics } = await startTlsServer()
    const { socket, inbox, closed } = await dial(port)
    socket.write(STARTTLS)
    await inbox.until(PROCEED)
    socket.write('this is no ClientHello, whatever it is')
    expect(await outcome).toMatch(/^ERR_SSL/)
    await closed
    expect(await (await next()).closed).toMatch(/^ERR_SSL/)
    expect(entries).toContainEqual(expect.objectContaining({ level: 'debug', event: 'tls-handshake-failed' }))
    expect(await metrics.text()).toContain('waxwing_tls_handshakes_failed_total{listener="listener0"} 1')
  })

  test('a handshake that does not go on is cut', async () => {
    const clock = new FakeClock()
    const { port, next, outcome } = await startTlsServer({ clock })
    const { socket, inbox, closed } = await dial(port)
    socket.write(STARTTLS)
    await inbox.until(PROCEED)
    clock.advance('10s')
    expect(await outcome).toBe('handshake timed out')
    await closed
    expect(await (await next()).closed).toBe('handshake timed out')
  })

  test('a connection that is gone, or secured, or has no certificate rejects', async () => {
    const { port, ca, next, outcome } = await startTlsServer()
    await dial(port)
    const gone = await next()
    gone.connection.destroy()
    await expect(gone.connection.startTls()).rejects.toThrow('closed')
    await gone.closed
    await upgraded(port, { ca })
    await outcome
    await expect((await next()).connection.startTls()).rejects.toThrow('not possible')
  })

  test('a peer that leaves during the handshake is told as such', async () => {
    const { port, next, outcome } = await startTlsServer()
    const { socket, inbox } = await dial(port)
    socket.write(STARTTLS)
    await inbox.until(PROCEED)
    socket.destroy()
    expect(await outcome).not.toBe('secured')
    expect(await (await next()).closed).toMatch(/closed by peer|ECONNRESET/)
  })
})

test.each(['starttls', 'direct'] as const)('%s: a connection that closed gives its place back', async (security) => {
  const { port, ca, next, metrics } = security === 'direct' ? await directServer() : await startTlsServer()
  const client = security === 'direct' ? await secureClient({ port, ca }) : await upgraded(port, { ca })
  const { closed } = await next()
  expect(await metrics.text()).toContain('waxwing_connections 1')
  client.socket.destroy()
  await closed
  while (!(await metrics.text()).includes('waxwing_connections 0')) await new Promise(setImmediate)
})

describe('direct TLS', () => {
  test('XEP-0368 §2: ALPN agrees on xmpp-client', async () => {
    const { port, ca } = await directServer()
    const client = await secureClient({ port, ca, ALPNProtocols: ['h2', 'xmpp-client'] })
    expect(client.socket.alpnProtocol).toBe('xmpp-client')
  })

  test('RFC 7301 §3.2: a client that speaks only other protocols is refused', async () => {
    const { port, ca } = await directServer()
    await expect(secureClient({ port, ca, ALPNProtocols: ['h2'] })).rejects.toThrow(
      /no application protocol|ECONNRESET|disconnected/i,
    )
  })

  test('RFC 7590 §3.2, RFC 8996: TLS 1.1 is refused', async () => {
    const { port, ca, entries } = await directServer()
    const old = secureClient({ port, ca, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' })
    await expect(old).rejects.toThrow()
    expect(entries).toContainEqual(expect.objectContaining({ level: 'debug', event: 'tls-handshake-failed' }))
  })

  test('RFC 9325 §4.2: a cipher without forward secrecy is refused', async () => {
    const { port, ca } = await directServer()
    await expect(secureClient({ port, ca, ...only('TLSv1.2'), ciphers: 'AES128-GCM-SHA256' })).rejects.toThrow()
  })

  test('what is written in one turn is one TLS record', async () => {
    const { port, ca } = await directServer(({ connection }) => {
      for (let count = 0; count < 10; count++) connection.write(wire('<presence/>'))
    })
    const relay = await recordingRelay(port)
    const client = await secureClient({ ...only('TLSv1.3'), port: relay.port, ca })
    client.socket.write('<presence/>')
    await client.inbox.until('<presence/>'.repeat(10))
    // RFC 8446 §5.2: a record adds the content type and a tag of 16 bytes.
    expect(relay.lastRecord()).toEqual({ type: 23, bytes: 10 * '<presence/>'.length + 17 })
  })

  test('a handshake that never begins is cut, and nobody is told of a connection', async () => {
    const clock = new FakeClock()
    const { port, entries } = await directServer(undefined, { clock })
    const { socket, closed } = await dial(port)
    socket.write(Buffer.of(22))
    await new Promise(setImmediate)
    while (!entries.some(({ event }) => event === 'tls-handshake-failed')) {
      clock.advance('10s')
      await new Promise(setImmediate)
    }
    await closed
  })
})
