import { expect, test } from 'vitest'
import { StanzaCounts } from './stanza-counts.ts'

const counting = (...stanzas: readonly string[]) => {
  const counts = new StanzaCounts<string>()
  for (const stanza of stanzas) counts.send(stanza)
  return counts
}

test('XEP-0198 §4: h covers what was sent first, and each stanza once', () => {
  const counts = counting('a', 'b', 'c')
  expect(counts.acknowledge(2)).toEqual(['a', 'b'])
  expect(counts.acknowledge(2)).toEqual([])
  expect(counts.acknowledge(1)).toEqual([])
  expect(counts.unacked).toEqual(['c'])
  expect(counts.sent).toBe(3)
})

test('XEP-0198 §4: a server cannot have handled more than was sent', () => {
  expect(() => counting('a').acknowledge(2)).toThrow('2 stanzas of 1')
})

test('XEP-0198 §5: what a lost session leaves is sent again in the next, which counts from nothing', () => {
  const counts = counting('a', 'b')
  counts.hear()
  counts.acknowledge(1)
  expect(counts.restart()).toEqual(['b'])
  expect(counts).toMatchObject({ heard: 0, sent: 0, unacked: [] })
})
