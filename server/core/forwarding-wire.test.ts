import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wire } from '#stanzas/wire.ts'
import { Answers, encodeHead, readAnswers, readHead } from './forwarding-wire.ts'

const number = fc.maxSafeNat()
const id = fc.option(number, { nil: undefined })

test('the head of a message says what was said', () => {
  const head = fc.record({ number, isKeptBySender: fc.boolean(), isBehind: id, lastId: id })
  fc.assert(
    fc.property(head, fc.string({ unit: 'binary-ascii' }), (said, message) => {
      expect(readHead(wire(encodeHead(said) + message))).toEqual({ ...said, message })
    }),
  )
})

test('answers are read as they were given, in their order', () => {
  const answer = fc.record({ number: fc.integer({ min: 1, max: 50 }), id })
  fc.assert(
    fc.property(fc.array(answer, { minLength: 1 }), (given) => {
      const answers = new Answers()
      for (const each of given) answers.add(each.number, each.id)
      const read: unknown[] = []
      readAnswers(answers.take(), (number, id) => read.push({ number, id }))
      expect(read).toEqual(given)
    }),
  )
})

test('answers in a row are one, unless something was stored', () => {
  const answers = new Answers()
  for (const number of [7, 8, 9]) answers.add(number, undefined)
  const { length } = answers.take()
  for (const number of [10, 11, 12, 13]) answers.add(number, undefined)
  answers.add(14, 345)
  answers.add(15, undefined)
  expect(answers.take()).toHaveLength(3 * length)
})
