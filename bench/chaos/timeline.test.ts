import { expect, test } from 'vitest'
import type { Fault } from './schedule.ts'
import { recoveries, Timeline } from './timeline.ts'

const seen = (isServed: boolean) => [{ name: 'u0.phone', isWanted: true, isOnline: isServed, isServed }]

test('an outage lasts from the first look that finds a device unserved to the first that does not', () => {
  const timeline = new Timeline()
  for (const [atMs, isServed] of [
    [0, true],
    [250, false],
    [500, false],
    [1_250, true],
    [2_000, false],
  ] as const)
    timeline.look(atMs, seen(isServed))
  timeline.close(2_500)
  expect(timeline.outages).toEqual([
    { device: 'u0.phone', fromMs: 250, forMs: 1_000 },
    { device: 'u0.phone', fromMs: 2_000, forMs: 500 },
  ])
  expect(timeline.seconds.map(({ unserved }) => unserved)).toEqual([1, 0, 1])
})

test('an outage belongs to the fault under which it began', () => {
  const faults: readonly Fault[] = [
    { atMs: 1_000, forMs: 0, kind: 'cut', percent: 100 },
    { atMs: 10_000, forMs: 500, kind: 'redis-killed' },
  ]
  const outages = [
    { device: 'u0.phone', fromMs: 1_250, forMs: 500 },
    { device: 'u1.phone', fromMs: 9_000, forMs: 3_000 },
  ]
  expect(recoveries(faults, outages, 20_000).map(({ allBackMs, outagesMs }) => [allBackMs, outagesMs])).toEqual([
    [11_000, [500, 3_000]],
    [0, []],
  ])
})
