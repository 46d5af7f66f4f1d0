import { beforeEach, expect, test } from 'vitest'
import type { Clock } from '#server/base/clock.ts'
import { LoginThrottle } from './login-throttle.ts'

const never = { cancel: () => undefined }
let nowMs = 0
const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => never, every: () => never }

const JULIET = 'juliet@verona.example'
const make = (maxEntries = 1000) =>
  new LoginThrottle({
    clock,
    perAddress: { failures: 5, windowMs: 60_000 },
    perAccount: { failures: 3, windowMs: 60_000 },
    maxEntries,
  })
const fail = (throttle: LoginThrottle, times: number, address: (n: number) => string, account?: string) => {
  for (let n = 0; n < times; n += 1) throttle.failed(address(n), account)
}

beforeEach(() => {
  nowMs = 0
})

test('an address that has failed too often waits, whatever name it tries, and is let in again evenly', () => {
  const throttle = make()
  fail(throttle, 4, () => '192.0.2.1')
  expect(throttle.check('192.0.2.1', JULIET)).toEqual({ kind: 'allowed' })
  fail(throttle, 1, () => '192.0.2.1')
  expect(throttle.check('192.0.2.1', JULIET)).toEqual({ kind: 'refused', retryAfterMs: 12_000 })
  expect(throttle.check('192.0.2.2', JULIET)).toEqual({ kind: 'allowed' })
  nowMs = 12_000
  expect(throttle.check('192.0.2.1')).toEqual({ kind: 'allowed' })
})

test('an account that was guessed at from many addresses waits, and so does one that does not exist', () => {
  const throttle = make()
  for (const account of [JULIET, 'nobody@verona.example']) {
    fail(throttle, 3, (n) => `192.0.2.${n}`, account)
    expect(throttle.check('198.51.100.1', account)).toEqual({ kind: 'refused', retryAfterMs: 20_000 })
  }
  expect(throttle.check('198.51.100.1')).toEqual({ kind: 'allowed' })
})

test('strangers cannot lock the owner out of an address that the account has logged in from', () => {
  const throttle = make()
  throttle.succeeded('203.0.113.7', JULIET)
  fail(throttle, 10, (n) => `192.0.2.${n}`, JULIET)
  expect(throttle.check('203.0.113.7', JULIET)).toEqual({ kind: 'allowed' })
  expect(throttle.check('203.0.113.8', JULIET).kind).toBe('refused')
  fail(throttle, 5, () => '203.0.113.7', JULIET)
  expect(throttle.check('203.0.113.7', JULIET).kind).toBe('refused')
})

test('an IPv6 network of 64 bits is one address, and an IPv4 address inside IPv6 is itself', () => {
  const throttle = make()
  fail(throttle, 5, (n) => `2001:db8:0:1::${n}`)
  expect(throttle.check('2001:0DB8::1:ffff:0:0:1').kind).toBe('refused')
  expect(throttle.check('2001:db8:0:2::1').kind).toBe('allowed')
  fail(throttle, 5, () => '::ffff:192.0.2.1')
  expect(throttle.check('192.0.2.1').kind).toBe('refused')
  fail(throttle, 5, () => '::1')
  expect(throttle.check('::1').kind).toBe('refused')
  expect(throttle.check('fe80::1%eth0').kind).toBe('allowed')
})

test('a flood of addresses and names costs bounded memory', () => {
  const throttle = make(100)
  for (let n = 0; n < 5_000; n += 1) {
    throttle.failed(`10.0.${n >> 8}.${n & 255}`, `name${n}@verona.example`)
    throttle.succeeded(`10.1.${n >> 8}.${n & 255}`, `name${n}@verona.example`)
  }
  expect(throttle.size).toBeLessThanOrEqual(300)
})
