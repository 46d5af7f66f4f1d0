import { expect, test } from 'vitest'
import { drawSchedule, ROUND } from './schedule.ts'

const options = { seed: 1, seconds: 600, nodes: 3, roaming: ['u2.phone', 'u6.phone'], kinds: ROUND }

test('a seed draws the same run each time, another one another run', () => {
  expect(drawSchedule(options)).toEqual(drawSchedule(options))
  expect(drawSchedule({ ...options, seed: 2 })).not.toEqual(drawSchedule(options))
})

test('ten minutes have every kind of fault, one after the other, and end in a calm', () => {
  const { faults, absences, calmAtMs } = drawSchedule(options)
  expect(new Set(faults.map(({ kind }) => kind)).size).toBe(6)
  for (const [at, { atMs, forMs }] of faults.entries()) {
    expect(atMs + forMs).toBeLessThanOrEqual(calmAtMs)
    const next = faults[at + 1]
    if (next !== undefined) expect(next.atMs - atMs - forMs).toBeGreaterThanOrEqual(14_000)
  }
  for (const { atMs, forMs } of absences) expect(atMs + forMs).toBeLessThanOrEqual(calmAtMs)
})

test('a database that cannot be killed is let be', () => {
  const { faults } = drawSchedule({ ...options, kinds: ROUND.filter((kind) => kind !== 'database-killed') })
  expect(faults.some(({ kind }) => kind === 'database-killed')).toBe(false)
})
