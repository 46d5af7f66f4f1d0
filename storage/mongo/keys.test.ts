import fc from 'fast-check'
import { expect, test } from 'vitest'
import { after, beginningWith, idOf, idText, part } from './keys.ts'

const bytes = (text: string) => Buffer.from(text)
const text = fc.string({ unit: 'binary' }).filter((each) => each.isWellFormed())
const id = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

test('a range holds what begins with its text, and nothing else, in the order of UTF-8', () => {
  fc.assert(
    fc.property(text, text, text, (prefix, rest, other) => {
      const { $gte, $lt } = beginningWith(prefix)
      const isInside = (key: string) => Buffer.compare(bytes(key), bytes($gte)) >= 0 && Buffer.compare(bytes(key), bytes($lt)) < 0
      if (prefix !== '') expect(isInside(prefix + rest)).toBe(true)
      if (prefix !== '' && !other.startsWith(prefix)) expect(isInside(other)).toBe(false)
    }),
  )
})

test.each([
  ['romeo@verona.example ', 'romeo@verona.example!'],
  ['a\ud7ff', 'a\ue000'],
  ['a\u{10ffff}', 'b'],
])('the text after all that begin with %j', (prefix, next) => {
  expect(after(prefix)).toBe(next)
})

test('parts of a key do not mix, however strange', () => {
  fc.assert(
    fc.property(text, text, text, text, (a, b, c, d) => {
      if (a !== c) expect(`${part(a)} ${b}`.startsWith(`${part(c)} `)).toBe(false)
      expect(`${part(a)} ${b}` === `${part(c)} ${d}`).toBe(a === c && b === d)
    }),
  )
})

test('ids as text have the order of ids, and are read back', () => {
  fc.assert(
    fc.property(id, id, (a, b) => {
      expect(idOf(`romeo ${idText(a)}`)).toBe(a)
      expect(Math.sign(Buffer.compare(bytes(idText(a)), bytes(idText(b))))).toBe(Math.sign(a - b))
    }),
  )
})
