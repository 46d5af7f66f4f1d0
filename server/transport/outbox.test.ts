import { Writable } from 'node:stream'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Outbox } from './outbox.ts'

/** A socket that keeps how much each write was, and takes the next one when it is let. */
const writtenTo = () => {
  const writes: string[] = []
  const socket = new Writable({
    decodeStrings: false,
    write(text: string, _, done) {
      writes.push(text)
      setImmediate(done)
    },
  })
  return { socket, writes }
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await endOfTurn()
}

test('all that is queued in one turn is one write', async () => {
  const { socket, writes } = writtenTo()
  const outbox = new Outbox(socket, false)
  outbox.add('a'.repeat(3_000))
  outbox.add('b')
  await turns(3)
  expect(writes).toEqual([`${'a'.repeat(3_000)}b`])
})

test('a TLS socket gets the first of it in small parts, one when the other is on its way, and what is added meanwhile behind', async () => {
  const { socket, writes } = writtenTo()
  const outbox = new Outbox(socket, true)
  const text = 'abcdefghij'.repeat(250)
  outbox.add(text)
  outbox.afterFlush(() => writes.push('flushed'))
  await turns(1)
  expect(outbox.queuedBytes).toBe(2_500)
  outbox.add('behind')
  await turns(12)
  expect(writes.map(({ length }) => length)).toEqual([1_000, 1_000, 506, 'flushed'.length])
  expect(writes.join('')).toBe(`${text}behindflushed`)
  expect(outbox.queuedBytes).toBe(0)
})

test('after its first words, what a TLS socket is told in one turn is one write: a record of its own', async () => {
  const { socket, writes } = writtenTo()
  const outbox = new Outbox(socket, true)
  outbox.add('features'.repeat(200))
  await turns(5)
  outbox.add('stanza'.repeat(300))
  await turns(5)
  expect(writes.map(({ length }) => length)).toEqual([1_000, 600, 1_800])
})

test('the last words are written whole, behind a part that is on its way', async () => {
  const { socket, writes } = writtenTo()
  const outbox = new Outbox(socket, true)
  outbox.add('z'.repeat(2_500))
  await turns(1)
  outbox.flush()
  socket.end()
  await turns(5)
  expect(writes.map(({ length }) => length)).toEqual([1_000, 1_500])
})

test('a connection that turns to TLS says its first words there in parts', async () => {
  const plain = writtenTo()
  const secured = writtenTo()
  const outbox = new Outbox(plain.socket, false)
  outbox.add('p'.repeat(2_000))
  outbox.secureBy(secured.socket)
  outbox.add('s'.repeat(1_500))
  await turns(5)
  expect(plain.writes.map(({ length }) => length)).toEqual([2_000])
  expect(secured.writes.map(({ length }) => length)).toEqual([1_000, 500])
})
