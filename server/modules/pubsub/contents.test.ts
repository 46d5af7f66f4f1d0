import { expect, test } from 'vitest'
import { addressed } from '#server/testing/pubsub-engine.ts'
import { Contents, type Subscription } from './contents.ts'
import { DEFAULT_OPTIONS } from './subscription-options.ts'

const romeo = addressed('romeo@verona.example/orchard')
const subscription = (jid: string, change: Partial<Subscription> = {}): Subscription => ({
  address: addressed(jid),
  state: 'subscribed',
  options: DEFAULT_OPTIONS,
  ...change,
})

test('XEP-0060 §6.5.1: any subscription of an account counts for all its addresses, as long as it lasts', () => {
  const contents = new Contents([], [])
  expect(contents.isSubscribed(romeo, 0)).toBe(false)
  contents.subscribe(subscription('romeo@verona.example/phone', { state: 'pending' }))
  expect(contents.isSubscribed(romeo, 0)).toBe(false)
  const desk = subscription('romeo@verona.example/desk', { options: { ...DEFAULT_OPTIONS, expiresAtMs: 5 } })
  contents.subscribe(desk)
  expect([contents.isSubscribed(romeo, 4), contents.isSubscribed(romeo, 5)]).toEqual([true, false])
  contents.subscribe({ ...desk, options: DEFAULT_OPTIONS })
  expect(contents.isSubscribed(romeo, 5)).toBe(true)
  contents.unsubscribe(desk.address)
  expect(contents.isSubscribed(romeo, 5)).toBe(false)
  expect([...contents.subscriptions.keys()]).toEqual(['romeo@verona.example/phone'])
})

test('what is long weighs more, and no more when it is gone', () => {
  const contents = new Contents([], [])
  const empty = contents.weight
  const item = { id: 'x'.repeat(1_000), payload: undefined, publisher: romeo.jid, publishedAtMs: 0 }
  contents.add(item, { seq: 1, atMs: 0 }, '<a>'.repeat(1_000))
  // Each element takes many times its three characters.
  expect(contents.weight).toBeGreaterThan(1_000)
  contents.add(item, { seq: 2, atMs: 0 }, '')
  contents.subscribe(subscription(`${'y'.repeat(1_000)}@verona.example`))
  expect(contents.weight).toBeGreaterThan(20)
  contents.unsubscribe(addressed(`${'y'.repeat(1_000)}@verona.example`))
  contents.remove([item.id])
  expect(contents.weight).toBe(empty)
})
