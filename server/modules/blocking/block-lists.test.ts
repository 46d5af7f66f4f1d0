import { describe, expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { type BareJid, parseJid } from '#stanzas/jid.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { BlockLists, EMPTY, isBlocked } from './block-lists.ts'

const address = (text: string) => {
  const parsed = parseJid(text)
  if (parsed === undefined) throw new Error(`${text} is no JID`)
  return parsed
}
const juliet = address('juliet@verona.example').bare
const none = () => undefined

const setUp = () => {
  const clock = new FakeClock()
  const connected = new Set<BareJid>()
  const store = new MemoryDriver({ nowMs: () => clock.nowMs() }).documents<true>('blocking/blocked')
  let reads = 0
  const counted = {
    ...store,
    list: (owner: string) => {
      reads++
      return store.list(owner)
    },
  }
  const lists = new BlockLists(counted, clock, (account) => connected.has(account))
  return { lists, clock, connected, store, reads: () => reads }
}
const block =
  (...jids: readonly string[]) =>
  (before: ReadonlySet<string>) =>
    new Set([...before, ...jids])

describe('XEP-0191 §6', () => {
  test.each([
    ['user@domain.example/resource', ['user@domain.example/resource'], ['user@domain.example', 'user@domain.example/other']],
    ['user@domain.example', ['user@domain.example', 'user@domain.example/any'], ['other@domain.example', 'domain.example']],
    ['domain.example/resource', ['domain.example/resource'], ['domain.example', 'user@domain.example/resource']],
    [
      'domain.example',
      ['domain.example', 'user@domain.example', 'user@domain.example/any', 'domain.example/any'],
      ['sub.domain.example', 'example'],
    ],
  ])('%s', (item, matching, others) => {
    const list = new Set([item])
    for (const each of matching) expect(isBlocked(list, address(each)), each).toBe(true)
    for (const each of others) expect(isBlocked(list, address(each)), each).toBe(false)
  })
})

test('the list of a connected account is there without a promise, however large it is', async () => {
  const { lists, connected, clock, reads } = setUp()
  connected.add(juliet)
  await lists.connected(juliet)
  expect(lists.of(juliet)).toBe(EMPTY)
  await lists.change(juliet, block(...Array.from({ length: 100 }, (_, n) => `a${n}@example.org`)), none)
  clock.advance('1d')
  expect(lists.of(juliet)).toHaveProperty('size', 100)
  expect(reads()).toBe(1)
})

test('that of an account that is away is read once in a while, and a large one each time', async () => {
  const { lists, clock, reads } = setUp()
  expect(await lists.of(juliet)).toBe(EMPTY)
  expect(lists.of(juliet)).toBe(EMPTY)
  expect(reads()).toBe(1)
  clock.advance('11m')
  await lists.of(juliet)
  expect(reads()).toBe(2)
  await lists.change(juliet, block(...Array.from({ length: 100 }, (_, n) => `a${n}@example.org`)), none)
  for (let n = 3; n < 5; n++) {
    expect(await lists.of(juliet)).toHaveProperty('size', 100)
    expect(reads()).toBe(n)
  }
})

test('one who leaves is still protected while the leave is told', async () => {
  const { lists, connected } = setUp()
  connected.add(juliet)
  await lists.connected(juliet)
  await lists.change(juliet, block('romeo@verona.example'), none)
  connected.delete(juliet)
  lists.disconnected(juliet)
  expect(lists.of(juliet)).toHaveProperty('size', 1)
})

test('changes at the same time all count, and a read under way does not undo them', async () => {
  const { lists, connected, store } = setUp()
  connected.add(juliet)
  const reading = lists.connected(juliet)
  await Promise.all([...'abc'].map((name) => lists.change(juliet, block(`${name}@example.org`), none)))
  await reading
  expect([...(await lists.of(juliet))].sort()).toEqual(['a@example.org', 'b@example.org', 'c@example.org'])
  expect((await store.list(juliet)).map(({ key }) => key)).toEqual(['a@example.org', 'b@example.org', 'c@example.org'])
})

test('a change that cannot be stored changes nothing', async () => {
  const { lists, connected } = setUp()
  connected.add(juliet)
  await lists.connected(juliet)
  let left = 0
  const refuse = (): never => {
    throw new Error('too many')
  }
  await expect(lists.change(juliet, refuse, () => left++)).rejects.toThrow('too many')
  expect(lists.of(juliet)).toBe(EMPTY)
  expect(left).toBe(0)
})
