import { describe, expect, it } from 'vitest'
import { baselineOf, classOf, compare, readLog, readResults, withSecondTry } from './baseline.ts'

const lines =
  'passed\tPing.async (tcp)\t12\t\nfailed\tRoster.push\t5000\tNoResponse: no reply\nimpossible\tMam\t0\tnot supported\n'

describe('The baseline of foreign tests may only improve', () => {
  const results = readResults(lines)

  it('reads outcome, test, milliseconds and reason', () => {
    expect(results).toEqual([
      { test: 'Ping.async (tcp)', outcome: 'passed', milliseconds: 12, reason: '' },
      { test: 'Roster.push', outcome: 'failed', milliseconds: 5000, reason: 'NoResponse: no reply' },
      { test: 'Mam', outcome: 'impossible', milliseconds: 0, reason: 'not supported' },
    ])
    expect(() => readResults('perhaps\tPing\t1\t')).toThrow('not a result')
  })
  it('calls a test worse when it passed and now fails, is impossible, or is gone from a whole run', () => {
    const baseline = { 'Ping.async (tcp)': 'failed', 'Roster.push': 'passed', Mam: 'passed', 'Old.test': 'passed' } as const
    expect(compare(baseline, results, true)).toEqual({ worse: ['Roster.push', 'Mam', 'Old.test'], better: ['Ping.async (tcp)'] })
    expect(compare(baseline, results, false).worse).toEqual(['Roster.push', 'Mam'])
  })
  it('takes the second try of a test in place of the first, and what the first did not come to', () => {
    const second = readResults('passed\tRoster.push\t40\t\npassed\tVersion.get\t3\t\n')
    expect(withSecondTry(results, second).map(({ outcome }) => outcome)).toEqual(['passed', 'passed', 'impossible', 'passed'])
  })
  it('reads the log of a run that was cut short, with the connection of a test in its name', () => {
    const log = ['INFO: Ping.async (Normal) Start', 'INFO: Ping.async (Normal) Success', 'INFO: Login.bad (LowLevel, tcp) Start']
    log.push('SEVERE: Login.bad (LowLevel, tcp) Failed', 'WARNING: something else (Normal) happened')
    expect(readLog(log).map(({ test, outcome }) => `${test}: ${outcome}`)).toEqual([
      'Ping.async: passed',
      'Login.bad (tcp): failed',
    ])
  })
  it('keeps outcomes by test, sorted, and knows the class of a test', () => {
    expect(Object.entries(baselineOf(results)).map(([test]) => test)).toEqual(['Mam', 'Ping.async (tcp)', 'Roster.push'])
    expect(classOf('Roster.push (tcp)')).toBe('Roster')
  })
})
