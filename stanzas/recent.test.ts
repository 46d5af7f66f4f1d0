import { expect, test } from 'vitest'
import { Recent } from './recent.ts'
import { wire } from './wire.ts'

const keyOf = (n: number) => wire(`key-${n}`)

test('what is asked for stays while the generations turn, the rest is forgotten', () => {
  const recent = new Recent<object>({ maxEntries: 10, maxKeyLength: 1_000 })
  const kept = {}
  recent.set(keyOf(0), kept)
  for (let n = 1; n < 200; n++) {
    recent.set(keyOf(n), {})
    expect(recent.get(keyOf(0))).toBe(kept)
  }
  expect(recent.get(keyOf(1))).toBeUndefined()
})

test('it is bounded by entries', () => {
  const recent = new Recent<object>({ maxEntries: 10, maxKeyLength: 10_000 })
  for (let n = 0; n < 1_000; n++) recent.set(keyOf(n), {})
  expect(recent.size).toBeLessThanOrEqual(20)
})

test('it is bounded by the length of the keys', () => {
  const recent = new Recent<object>({ maxEntries: 1_000, maxKeyLength: 1_000 })
  for (let n = 0; n < 1_000; n++) recent.set(wire(String(n).padStart(100, 'k')), {})
  expect(recent.size).toBeLessThanOrEqual(20)
})
