import { expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { Pace } from './pace.ts'

const takeTurns = (pace: Pace, count: number): (() => number) => {
  let gone = 0
  for (let i = 0; i < count; i++) void (pace.turn() ?? Promise.resolve()).then(() => gone++)
  return () => gone
}

test('so many a second have their turn, evenly', async () => {
  const clock = new FakeClock()
  const gone = takeTurns(new Pace(clock, 100), 50)
  await Promise.resolve()
  expect(gone()).toBe(1)
  clock.advance('100ms')
  await Promise.resolve()
  expect(gone()).toBe(11)
  clock.advance('1s')
  await Promise.resolve()
  expect(gone()).toBe(50)
})

test('who was quiet for a while has no more turns at once than one', async () => {
  const clock = new FakeClock()
  const pace = new Pace(clock, 100)
  clock.advance('10s')
  const gone = takeTurns(pace, 5)
  await Promise.resolve()
  expect(gone()).toBe(1)
})

test('in a hurry nobody waits, neither who does already nor who comes later', async () => {
  const clock = new FakeClock()
  const pace = new Pace(clock, 1)
  const gone = takeTurns(pace, 5)
  pace.hurry()
  await Promise.resolve()
  expect(gone()).toBe(5)
  expect(pace.turn()).toBeUndefined()
})
