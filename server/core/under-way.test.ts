import { expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { UnderWay } from './under-way.ts'

test('whoever stops waits for what has begun, well or not', async () => {
  const clock = new FakeClock()
  const underWay = new UnderWay()
  await underWay.idle(clock, 1_000)
  const ends: (() => void)[] = []
  underWay.add(new Promise<void>((resolve) => ends.push(resolve)))
  underWay.add(new Promise<void>((_, reject) => ends.push(() => reject(new Error('the disk is full')))))
  let isIdle = false
  const idle = underWay.idle(clock, 1_000).then(() => {
    isIdle = true
  })
  ends[0]?.()
  await new Promise((resolve) => setImmediate(resolve))
  expect([isIdle, underWay.count]).toEqual([false, 1])
  ends[1]?.()
  await idle
  expect(underWay.count).toBe(0)
})

test('but not for ever', async () => {
  const clock = new FakeClock()
  const underWay = new UnderWay()
  underWay.add(new Promise(() => undefined))
  const idle = underWay.idle(clock, 1_000)
  clock.advance('1s')
  await idle
  expect(underWay.count).toBe(1)
})
