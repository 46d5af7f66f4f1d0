import type { Comparison, Outcome, Result } from './interop/baseline.ts'

const order: readonly Outcome[] = ['failed', 'impossible', 'passed']
const reasonWidth = 110

/** The table of a run: what failed first, then what was impossible, then what passed. */
export const resultTable = (results: readonly Result[]): string => {
  const rows = results.toSorted((a, b) => order.indexOf(a.outcome) - order.indexOf(b.outcome) || (a.test < b.test ? -1 : 1))
  const width = Math.max(4, ...rows.map(({ test }) => test.length))
  const line = ({ outcome, test, milliseconds, reason }: Result) =>
    [outcome.padEnd(10), test.padEnd(width), `${milliseconds} ms`.padStart(9), reason.slice(0, reasonWidth)].join('  ').trimEnd()
  return [`${'outcome'.padEnd(10)}  ${'test'.padEnd(width)}  ${'time'.padStart(9)}  why`, ...rows.map(line)].join('\n')
}

/** What became better and worse against the baseline, in sentences. */
export const comparisonText = ({ worse, better }: Comparison): string => {
  const lines = [
    ...worse.map((test) => `worse than the baseline: ${test}`),
    ...better.map((test) => `better than the baseline: ${test}`),
  ]
  return lines.length === 0 ? 'as in the baseline' : lines.join('\n')
}

/** How many tests ended in an outcome. */
export const count = (results: readonly Result[], outcome: Outcome): number =>
  results.filter((result) => result.outcome === outcome).length

/** The closing line of a run. */
export const closingLine = (passed: number, failed: number): string => `${passed} passed, ${failed} failed`
