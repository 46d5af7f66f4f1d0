import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { dial, Inbox, listening, localCertificates, recorder } from '#server/testing/listening.ts'
import { wire } from '#stanzas/wire.ts'
import { addressKey } from './admission.ts'
import { HttpServer } from './http.ts'
import type { TransportOptions } from './listener.ts'

const V1 = 'PROXY TCP4 192.0.2.7 10.0.0.1 40000 5222\r\n'
const V2 = Buffer.from('0d0a0d0a000d0a515549540a2111000c' + 'c0000207' + '0a000001' + '9c40' + '1466', 'hex')
const fromLoopback: Partial<TransportOptions> = { proxies: ['127.0.0.0/8'] }

const xmpp = async (options: Partial<TransportOptions> = {}, security: 'none' | 'starttls' | 'direct' = 'starttls') => {
  const server = recorder()
  const opened = await listening([{ security, service: { kind: 'xmpp', accept: server.accept } }], options)
  return { ...opened, next: server.next }
}

describe('PROXY protocol', () => {
  test.each([
    ['version 1', Buffer.from(V1)],
    ['version 2', V2],
  ])('%s tells the peer of a TCP connection, and what follows is the stream', async (_, header) => {
    const { port, next } = await xmpp(fromLoopback)
    const { socket } = await dial(port)
    socket.write(Buffer.concat([header, Buffer.from('<stream:stream>')]))
    const { connection, inbox } = await next()
    expect(connection.remoteAddress).toBe('192.0.2.7')
    expect(await inbox.until('<stream:stream>')).toBe('<stream:stream>')
  })

  test('a header may come byte by byte', async () => {
    const { port, next } = await xmpp(fromLoopback)
    const { socket } = await dial(port)
    for (const byte of Buffer.concat([V2, Buffer.from('<a/>')])) {
      socket.write(Buffer.of(byte))
      await new Promise(setImmediate)
    }
    const { connection, inbox } = await next()
    expect(connection.remoteAddress).toBe('192.0.2.7')
    expect(await inbox.until('<a/>')).toBe('<a/>')
  })

  test('it works in front of direct TLS', async () => {
    const certificates = localCertificates()
    const { port, next } = await xmpp({ ...fromLoopback, certificates }, 'direct')
    const { socket } = await dial(port)
    socket.write(V1)
    socket.removeAllListeners('data')
    const inbox = new Inbox()
    const client = connect({ socket, servername: 'localhost', ca: readFileSync(certificates.caPath ?? '') })
    client.on('data', (chunk: Buffer) => inbox.add(chunk))
    onTestFinished(() => void client.destroy())
    const { connection } = await next()
    expect(connection.remoteAddress).toBe('192.0.2.7')
    connection.write(wire('<hello/>'))
    expect(await inbox.until('<hello/>')).toBe('<hello/>')
  })

  test('it works in front of HTTP', async () => {
    const whoami = { method: 'GET', path: '/whoami' } as const
    const http = new HttpServer({
      routes: [{ ...whoami, handle: (request, response) => response.send(200, {}, request.remoteAddress) }],
      upgrades: {},
      log: nullLog,
    })
    const { port } = await listening([{ security: 'none', service: http }], fromLoopback)
    const { socket, inbox } = await dial(port)
    socket.write(`${V1}GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    expect(await inbox.until('192.0.2.7')).toContain('200 OK')
  })

  test.each([
    ['LOCAL', Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')],
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
  ])('%s keeps the address of the proxy', async (_, header) => {
    const { port, next } = await xmpp(fromLoopback)
    const { socket } = await dial(port)
    socket.write(header)
    expect((await next()).connection.remoteAddress).toBe('127.0.0.1')
  })

  test('a proxy that sends no header is cut, counted and logged', async () => {
    const { port, entries, metrics } = await xmpp(fromLoopback)
    const { socket, closed } = await dial(port)
    socket.write("<?xml version='1.0'?>")
    await closed
    expect(entries).toEqual([expect.objectContaining({ level: 'warn', event: 'proxy-header-failed' })])
    expect(await metrics.text()).toContain('waxwing_proxy_headers_failed_total{listener="listener0"} 1')
  })

  test('a proxy that is silent is cut in time, one that leaves is forgotten', async () => {
    const clock = new FakeClock()
    const { port, entries } = await xmpp({ ...fromLoopback, clock })
    const { closed } = await dial(port)
    const leaving = await dial(port)
    leaving.socket.destroy()
    while (entries.length < 2) {
      await new Promise(setImmediate)
      clock.advance('3s')
    }
    await closed
    expect(entries.map(({ event }) => event)).toEqual(['proxy-header-failed', 'proxy-header-failed'])
  })

  test('nobody else may say who they are: to us it is the beginning of a stream', async () => {
    const { port, next } = await xmpp({ proxies: ['10.0.0.0/8', '2001:db8::1'] })
    const { socket } = await dial(port)
    socket.write(V1)
    const { connection, inbox } = await next()
    expect(connection.remoteAddress).toBe('127.0.0.1')
    expect(await inbox.until(V1)).toBe(V1)
  })
})

describe('limits', () => {
  const limits = { connections: 1000, connectionsPerAddress: 1000, acceptsPerSecond: 1000 }

  test('one address has so many connections at once; one that closes makes room', async () => {
    const { port, next, entries } = await xmpp({ limits: { ...limits, connectionsPerAddress: 1 } })
    await dial(port)
    const { connection } = await next()
    const refused = await dial(port)
    await refused.closed
    const other = await dial(port, { host: '127.0.0.1', localAddress: '127.0.0.2' })
    await next()
    expect(entries.map(({ fields }) => fields.reason)).toEqual(['too many connections of one address'])
    connection.destroy()
    other.socket.write('x')
    await dial(port)
    await next()
  })

  test('peers behind a proxy are counted by their own addresses', async () => {
    const { port, next } = await xmpp({ ...fromLoopback, limits: { ...limits, connectionsPerAddress: 1 } })
    const first = await dial(port)
    first.socket.write(V1)
    await next()
    const second = await dial(port)
    second.socket.write(V1.replace('192.0.2.7', '192.0.2.8'))
    await next()
    const third = await dial(port)
    third.socket.write(V1)
    await third.closed
  })

  test('the server has so many connections in all', async () => {
    const { port, next, metrics } = await xmpp({ limits: { ...limits, connections: 1 } })
    await dial(port)
    await next()
    const refused = await dial(port)
    await refused.closed
    const text = await metrics.text()
    expect(text).toContain('waxwing_connections 1')
    expect(text).toContain('waxwing_connections_refused_total{listener="listener0"} 1')
  })

  test('connections that come too fast wait their turn and lose nothing', async () => {
    const clock = new FakeClock()
    const { port, next, metrics } = await xmpp({ clock, limits: { ...limits, acceptsPerSecond: 1 } })
    const first = await dial(port)
    first.socket.write('<first/>')
    expect(await (await next()).inbox.until('<first/>')).toBe('<first/>')
    const second = await dial(port)
    second.socket.write('<second/>')
    while (!(await metrics.text()).includes('waxwing_connections 2')) await new Promise(setImmediate)
    expect(await metrics.text()).toContain('waxwing_connections_accepted_total{listener="listener0"} 1')
    clock.advance('1s')
    expect(await (await next()).inbox.until('<second/>')).toBe('<second/>')
  })

  test('an IPv6 household is one peer', () => {
    expect(addressKey('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64')
    expect(addressKey('2001:db8::1')).toBe('2001:db8:0:0::/64')
    expect(addressKey('::1')).toBe('0:0:0:0::/64')
    expect(addressKey('192.0.2.1')).toBe('192.0.2.1')
  })
})

describe('opening and closing', () => {
  test('a closed listener takes nobody more; who is there stays', async () => {
    const { port, next, listeners } = await xmpp()
    const client = await dial(port)
    const { connection } = await next()
    listeners.close()
    await expect(dial(port)).rejects.toThrow(/ECONNREFUSED/)
    connection.write(wire('<still-here/>'))
    expect(await client.inbox.until('<still-here/>')).toBe('<still-here/>')
  })

  test('closing cuts who has not finished the handshake', async () => {
    const { port, listeners, metrics } = await xmpp({}, 'direct')
    const { closed } = await dial(port)
    while (!(await metrics.text()).includes('waxwing_connections 1')) await new Promise(setImmediate)
    listeners.close()
    await closed
  })

  test('a port that is taken closes what was opened before it', async () => {
    const service = { kind: 'xmpp', accept: recorder().accept } as const
    const { port: taken } = await xmpp()
    const { port: free, listeners } = await xmpp()
    listeners.close()
    const opening = listening([
      { security: 'none', service, name: 'first', port: free },
      { security: 'none', service, name: 'second', port: taken },
    ])
    await expect(opening).rejects.toThrow(/EADDRINUSE/)
    await expect(dial(free)).rejects.toThrow(/ECONNREFUSED/)
  })

  test('several processes may share a port where it is asked for', async () => {
    const service = { kind: 'xmpp', accept: recorder().accept } as const
    const { port } = await xmpp({ reusePort: true })
    await listening([{ security: 'none', service, port }], { reusePort: true })
  })
})
