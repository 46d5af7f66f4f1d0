import { expect, test } from 'vitest'
import type { Clock } from '#server/base/clock.ts'
import { BoundedCache } from './bounded-cache.ts'

const never = { cancel: () => undefined }

test('the oldest entry goes when there are too many, and each when its time is over', () => {
  let nowMs = 0
  const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => never, every: () => never }
  const cache = new BoundedCache<string, number>(clock, { maxEntries: 2, maxAgeMs: 1_000 })
  cache.set('a', 1)
  cache.set('b', 2)
  cache.set('a', 3)
  cache.set('c', 4)
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([3, undefined, 4])
  nowMs = 999
  expect(cache.get('a')).toBe(3)
  nowMs = 1_000
  expect(cache.get('a')).toBeUndefined()
  expect(cache.size).toBe(1)
  cache.delete('c')
  expect(cache.size).toBe(0)
})
