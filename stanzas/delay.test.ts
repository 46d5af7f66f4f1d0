import { expect, test } from 'vitest'
import { delayElement, delayWire, readDelay } from './delay.ts'
import { el } from './element.ts'
import { makeJid } from './jid.ts'
import { NS_CLIENT, NS_DELAY } from './namespaces.ts'
import { serialize } from './serialize.ts'

const capulet = makeJid('', 'capulet.com')
if (capulet === undefined) throw new Error('no JID')
const atMs = Date.UTC(2002, 8, 10, 23, 8, 25)

test('XEP-0203 §2: a delay says when, by whose word and why', () => {
  const delay = delayElement(capulet, atMs, 'Offline Storage')
  expect(delay).toEqual(el(NS_DELAY, 'delay', { from: 'capulet.com', stamp: '2002-09-10T23:08:25.000Z' }, 'Offline Storage'))
  expect(readDelay(delay)).toEqual({ atMs, from: capulet, reason: 'Offline Storage' })
})

test('XEP-0203 §2: the wire text says the same', () => {
  expect(delayWire(capulet, atMs)).toBe(serialize(delayElement(capulet, atMs), NS_CLIENT))
})

test('XEP-0203 §2: from is not required', () => {
  expect(readDelay(delayElement(undefined, atMs))).toEqual({ atMs, from: undefined, reason: '' })
})

test.each([
  ['no stamp', el(NS_DELAY, 'delay', { from: 'capulet.com' })],
  ['a stamp that is none', el(NS_DELAY, 'delay', { stamp: 'yesterday' })],
  ['an address that is none', el(NS_DELAY, 'delay', { from: '@', stamp: '2002-09-10T23:08:25Z' })],
  ['another namespace', el('jabber:x:delay', 'delay', { stamp: '2002-09-10T23:08:25Z' })],
])('XEP-0203 §2: %s is no delay', (_, element) => {
  expect(readDelay(element)).toBeUndefined()
})
