import { expect, test } from 'vitest'
import type { Sample } from './figures.ts'
import { judge, markdown, type RowResult } from './report.ts'
import { rowsNamed } from './scenarios/rows.ts'

function result(id: string, samples: Readonly<Record<string, readonly Sample[]>>): RowResult {
  const [row] = rowsNamed([`${id}=`])
  if (row === undefined) throw new Error(id)
  return { row, samples: new Map(Object.entries(samples)), faults: new Map() }
}

test('a share of the better peer is judged by medians', () => {
  const peers = { prosody: [{ cpuUs: 80 }], ejabberd: [{ cpuUs: 82 }] }
  const verdictOn = (cpuUs: readonly number[]) =>
    judge([result('chat', { waxwing: cpuUs.map((value) => ({ cpuUs: value })), ...peers })])[0]
  expect(verdictOn([19, 20, 90])).toMatchObject({ outcome: 'kept' })
  expect(verdictOn([19, 21, 90])).toMatchObject({ outcome: 'broken' })
})

test('a budget whose other half was not measured is neither kept nor broken', () => {
  expect(judge([result('chat', { waxwing: [{ cpuUs: 1 }] })])).toMatchObject([{ outcome: 'unknown' }])
  expect(judge([result('chat-websocket', { waxwing: [{ cpuUs: 1 }] })])).toMatchObject([{ outcome: 'unknown' }])
})

test('a row is judged by another row, and a figure by another of its row', () => {
  const tcp = result('chat-node-tcp', { waxwing: [{ cpuUs: 10 }] })
  const websocket = result('chat-websocket', { waxwing: [{ cpuUs: 12 }] })
  const idle = result('idle-tls', { waxwing: [{ connectionKib: 63, bareTlsKib: 52 }] })
  expect(judge([tcp, websocket, idle]).map(({ outcome }) => outcome)).toEqual(['kept', 'broken'])
})

test('the table shows least, median and most, and what we cost against each peer', () => {
  const text = markdown([result('chat', { waxwing: [{ cpuUs: 10 }, { cpuUs: 20 }, { cpuUs: 30 }], prosody: [{ cpuUs: 80 }] })], 3)
  expect(text).toContain('| waxwing | 10.0 / **20.0** / 30.0 |')
  expect(text).toMatch(/\| prosody \| \*\*80\.0\*\* \|.*\| 0\.25 × this \|/)
})
