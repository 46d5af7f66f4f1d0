import { expect, test } from 'vitest'
import { summarize } from './cpuprofile.ts'

const frame = (functionName: string, url = '', lineNumber = 0) => ({ functionName, url, lineNumber })

const profile = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 3] },
    { id: 2, callFrame: frame('(idle)') },
    { id: 3, callFrame: frame('read', 'file:///x/a.ts', 9), children: [4] },
    { id: 4, callFrame: frame('parse', 'file:///x/b.ts', 4), children: [5] },
    { id: 5, callFrame: frame('parse', 'file:///x/b.ts', 4) },
  ],
  samples: [2, 2, 3, 4, 5, 2],
  timeDeltas: [1000, 1000, 1000, 1000, 1000, 1000],
}

test('self and total times count the busiest stretch only, and recursion once', () => {
  const { busyMs, functions, files } = summarize(profile, 3)
  expect(busyMs).toBe(3)
  expect(functions).toEqual([
    { name: 'parse b.ts:5', selfMs: 2, totalMs: 2 },
    { name: 'read a.ts:10', selfMs: 1, totalMs: 3 },
  ])
  expect(files.map(({ name }) => name)).toEqual(['b.ts', 'a.ts'])
})
