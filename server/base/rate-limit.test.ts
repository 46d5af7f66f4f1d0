import { beforeEach, describe, expect, test } from 'vitest'
import type { Clock } from './clock.ts'
import { RateLimit, TokenBucket } from './rate-limit.ts'

let nowMs: number
const nothing = { cancel() {} }
const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => nothing, every: () => nothing }
beforeEach(() => {
  nowMs = 0
})

const takeAll = (limit: RateLimit, key: string): number => {
  let taken = 0
  while (limit.take(key)) taken++
  return taken
}

describe('RateLimit', () => {
  test('gives a burst at once, then evenly as time passes', () => {
    const limit = new RateLimit({ burst: 5, perMs: 10_000 }, clock)
    expect(takeAll(limit, 'a')).toBe(5)
    nowMs += 1999
    expect(limit.take('a')).toBe(false)
    nowMs += 1
    expect(takeAll(limit, 'a')).toBe(1)
    nowMs += 1_000_000
    expect(takeAll(limit, 'a')).toBe(5)
  })

  test('keeps keys apart', () => {
    const limit = new RateLimit({ burst: 1, perMs: 1000 }, clock)
    expect(limit.take('a')).toBe(true)
    expect(limit.take('b')).toBe(true)
    expect(limit.take('a')).toBe(false)
  })

  test('counts failures only: allows looks, take counts, forgive forgets', () => {
    const limit = new RateLimit({ burst: 2, perMs: 1000 }, clock)
    for (let i = 0; i < 10; i++) expect(limit.allows('a')).toBe(true)
    expect(limit.size).toBe(0)
    expect(takeAll(limit, 'a')).toBe(2)
    expect(limit.allows('a')).toBe(false)
    limit.forgive('a')
    expect(limit.allows('a')).toBe(true)
  })

  test('a clock that goes back gives nothing', () => {
    nowMs = 5000
    const limit = new RateLimit({ burst: 1, perMs: 1000 }, clock)
    limit.take('a')
    nowMs = 0
    expect(limit.take('a')).toBe(false)
  })

  test('remembers no more keys than it may, and those used last', () => {
    const limit = new RateLimit({ burst: 2, perMs: 1_000_000 }, clock, 100)
    for (let i = 0; i < 1000; i++) {
      takeAll(limit, 'the attacker')
      limit.take(`${i}`)
    }
    expect(limit.size).toBe(100)
    expect(limit.allows('the attacker')).toBe(false)
  })

  test('lets go of full buckets first', () => {
    const limit = new RateLimit({ burst: 1, perMs: 1000 }, clock, 10)
    for (let i = 0; i < 10; i++) limit.take(`${i}`)
    nowMs += 1000
    limit.take('new')
    expect(limit.size).toBe(1)
  })
})

describe('TokenBucket', () => {
  test('borrow tells how long to wait', () => {
    const bucket = new TokenBucket({ burst: 2, perMs: 1000 }, 0)
    expect([bucket.borrow(0), bucket.borrow(0), bucket.borrow(0), bucket.borrow(0)]).toEqual([0, 0, 500, 1000])
    expect(bucket.borrow(1500)).toBe(0)
  })
})
