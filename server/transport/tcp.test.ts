import { expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { dial, listening, recorder } from '#server/testing/listening.ts'
import { wire } from '#stanzas/wire.ts'

/** Larger than what the kernel holds for a loopback socket that nobody reads. */
const MORE_THAN_THE_KERNEL_TAKES = 16 * 1024 * 1024

const pair = async (options: Parameters<typeof listening>[1] = {}, dialing: Parameters<typeof dial>[1] = {}) => {
  const server = recorder()
  const { port } = await listening([{ security: 'none', service: { kind: 'xmpp', accept: server.accept } }], options)
  const client = await dial(port, dialing)
  const { connection, inbox, closed } = await server.next()
  return { client, connection, inbox, closed }
}

const flushed = (connection: { afterFlush(callback: () => void): void }): Promise<void> =>
  new Promise((resolve) => connection.afterFlush(resolve))

test('all that is written in one turn of the loop leaves in one segment, in order', async () => {
  const { client, connection } = await pair()
  const stanzas = Array.from({ length: 100 }, (_, index) => `<message id='${index}'/>`)
  for (const stanza of stanzas) connection.write(wire(stanza))
  expect(await client.inbox.until(stanzas.join('').length)).toBe(stanzas.join(''))
  expect(client.inbox.arrivals).toBe(1)
})

test('wire text leaves as the bytes it stands for', async () => {
  const { client, connection } = await pair()
  connection.write(wire(Buffer.from('Žižka ☂ 𝄞', 'utf8').toString('latin1')))
  expect(await client.inbox.until('𝄞')).toBe('Žižka ☂ 𝄞')
})

test('bytes arrive at the handler, from the address they came from', async () => {
  const { client, connection, inbox } = await pair()
  client.socket.write('<stream:stream>')
  expect(await inbox.until('<stream:stream>')).toBe('<stream:stream>')
  expect(connection).toMatchObject({ remoteAddress: '127.0.0.1', framing: 'stream', tls: undefined, canStartTls: false })
})

test('callbacks after a flush come in the order they were asked for, with and without bytes between them', async () => {
  const { connection } = await pair()
  const order: number[] = []
  connection.afterFlush(() => order.push(0))
  connection.write(wire('<a/>'))
  connection.afterFlush(() => order.push(1))
  connection.afterFlush(() => order.push(2))
  await flushed(connection)
  connection.write(wire('<b/>'))
  connection.write(wire('<c/>'))
  connection.afterFlush(() => order.push(3))
  await flushed(connection)
  expect(order).toEqual([0, 1, 2, 3])
})

test('what the peer does not read counts as queued, and its callbacks wait until it does', async () => {
  const { client, connection } = await pair()
  client.socket.pause()
  const bytes = 'x'.repeat(MORE_THAN_THE_KERNEL_TAKES)
  let isTaken = false
  connection.write(wire(bytes))
  connection.afterFlush(() => {
    isTaken = true
  })
  expect(connection.queuedBytes).toBe(bytes.length)
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(connection.queuedBytes).toBeGreaterThan(0)
  expect(isTaken).toBe(false)
  const done = flushed(connection)
  client.socket.resume()
  await done
  expect(isTaken).toBe(true)
  expect(connection.queuedBytes).toBe(0)
})

test('a callback never comes when the connection breaks first', async () => {
  const { client, connection, closed } = await pair()
  client.socket.pause()
  let isTaken = false
  connection.write(wire('x'.repeat(MORE_THAN_THE_KERNEL_TAKES)))
  connection.afterFlush(() => {
    isTaken = true
  })
  await new Promise(setImmediate)
  connection.destroy()
  expect(await closed).toBe('destroyed')
  await new Promise(setImmediate)
  expect(isTaken).toBe(false)
})

test('a paused connection reads no more until it is resumed', async () => {
  const { client, connection, inbox } = await pair()
  client.socket.write('<one/>')
  await inbox.until('<one/>')
  connection.pause()
  client.socket.write('<two/>')
  connection.write(wire('<marker/>'))
  await client.inbox.until('<marker/>')
  await new Promise(setImmediate)
  expect(inbox.text).toBe('<one/>')
  connection.resume()
  expect(await inbox.until('<two/>')).toBe('<one/><two/>')
})

test('RFC 6120 §4.6.1: keepalive is white space', async () => {
  const { client, connection } = await pair()
  connection.keepAlive()
  expect(await client.inbox.until(1)).toBe(' ')
})

test('RFC 6120 §4.4: the end writes what is queued, then closes; what comes after is not heard', async () => {
  const { client, connection, inbox, closed } = await pair({}, { allowHalfOpen: true })
  client.socket.write('<before/>')
  await inbox.until('<before/>')
  const ended = new Promise<void>((resolve) => client.socket.once('end', resolve))
  connection.write(wire('</stream:stream>'))
  connection.end()
  connection.write(wire('<late/>'))
  await ended
  expect(client.inbox.text).toBe('</stream:stream>')
  client.socket.end('<after/>')
  expect(await closed).toBe('ended')
  expect(inbox.text).toBe('<before/>')
})

test('a peer that does not close in turn is cut after a grace time', async () => {
  const clock = new FakeClock()
  const { client, connection, closed } = await pair({ clock }, { allowHalfOpen: true })
  const ended = new Promise<void>((resolve) => client.socket.once('end', resolve))
  connection.end()
  await ended
  clock.advance('5s')
  expect(await closed).toBe('ended')
})

test('a peer that never reads our last words is cut after a grace time', async () => {
  const clock = new FakeClock()
  const { client, connection, closed } = await pair({ clock })
  client.socket.pause()
  connection.write(wire('x'.repeat(MORE_THAN_THE_KERNEL_TAKES)))
  connection.end()
  clock.advance('5s')
  expect(await closed).toBe('ended')
})

test('a peer that stops writing still gets what is queued, and its connection ends', async () => {
  const server = recorder(({ connection }) => connection.write(wire('<answer/>')))
  const { port } = await listening([{ security: 'none', service: { kind: 'xmpp', accept: server.accept } }])
  const client = await dial(port, { allowHalfOpen: true })
  client.socket.end('<question/>')
  expect(await client.inbox.until('<answer/>')).toBe('<answer/>')
  expect(await (await server.next()).closed).toBe('closed by peer')
})

test('a reset is told with its reason', async () => {
  const { client, closed } = await pair()
  client.socket.resetAndDestroy()
  expect(await closed).toBe('ECONNRESET')
})

test('a destroyed connection takes nothing more and tells its end once', async () => {
  const { client, connection, closed } = await pair()
  connection.write(wire('<lost/>'))
  connection.destroy()
  connection.destroy()
  connection.write(wire('<late/>'))
  connection.end()
  expect(await closed).toBe('destroyed')
  await client.closed
  expect(client.inbox.text).toBe('')
})
