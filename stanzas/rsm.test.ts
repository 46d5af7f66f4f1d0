import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Element, el } from './element.ts'
import { NS_RSM, readRsm, rsmElement } from './rsm.ts'

const set = (...children: readonly Element[]): Element => el('q', 'query', {}, el(NS_RSM, 'set', {}, ...children))
const said = (name: string, text?: string): Element => el(NS_RSM, name, {}, text)
const NOTHING = { max: undefined, after: undefined, before: undefined, index: undefined }

test('XEP-0059 §4: a request without a set says nothing, nor does an empty one', () => {
  expect(readRsm(el('q', 'query'))).toEqual(NOTHING)
  expect(readRsm(set())).toEqual(NOTHING)
})

test('XEP-0059 §2.1–2.6: a request says how much is wanted, and from where', () => {
  expect(readRsm(set(said('max', '10')))).toEqual({ ...NOTHING, max: 10 })
  expect(readRsm(set(said('max', ' 0\n')))).toEqual({ ...NOTHING, max: 0 })
  expect(readRsm(set(said('after', 'a')))).toEqual({ ...NOTHING, after: 'a' })
  expect(readRsm(set(said('before', 'b')))).toEqual({ ...NOTHING, before: 'b' })
  expect(readRsm(set(said('index', '371')))).toEqual({ ...NOTHING, index: 371 })
})

test('XEP-0059 §2.5: an empty before asks for the last page, an empty after for the first', () => {
  expect(readRsm(set(said('before')))).toEqual({ ...NOTHING, before: '' })
  expect(readRsm(set(said('after')))).toEqual(NOTHING)
})

test('XEP-0059 §2: what stands beside the set is none of it', () => {
  expect(readRsm(el('q', 'query', {}, said('after', 'a'), el(NS_RSM, 'set')))).toEqual(NOTHING)
})

test.each(['-1', 'ten', '1.5', '', '2147483648', '99999999999999999999', '0x10'])(
  'XEP-0059 §8: %j is no number of items',
  (text) => {
    expect(readRsm(set(said('max', text)))).toBeUndefined()
    expect(readRsm(set(said('index', text)))).toBeUndefined()
  },
)

test('XEP-0059 §2.2: a page says where it begins and ends, and how large the whole set is', () => {
  expect(rsmElement({ first: 'a', last: 'b', index: 0, count: 2 })).toEqual(
    el(NS_RSM, 'set', {}, el(NS_RSM, 'first', { index: '0' }, 'a'), said('last', 'b'), said('count', '2')),
  )
  expect(rsmElement({ first: 'a', last: 'b' })).toEqual(el(NS_RSM, 'set', {}, said('first', 'a'), said('last', 'b')))
})

test('XEP-0059 §2.2: an empty page has neither first nor last', () => {
  expect(rsmElement({ count: 790 })).toEqual(el(NS_RSM, 'set', {}, said('count', '790')))
  expect(rsmElement({})).toEqual(el(NS_RSM, 'set'))
})

test('XEP-0059 §8: whatever stands in it is read or refused, and what is read is in range', () => {
  const children = fc.array(
    fc.record({
      name: fc.constantFrom('max', 'after', 'before', 'index', 'x'),
      text: fc.oneof(fc.string(), fc.integer().map(String)),
    }),
  )
  fc.assert(
    fc.property(children, (all) => {
      const read = readRsm(set(...all.map(({ name, text }) => said(name, text))))
      for (const number of [read?.max, read?.index])
        if (number !== undefined) expect(Number.isSafeInteger(number) && number >= 0 && number < 2 ** 31).toBe(true)
    }),
  )
})
