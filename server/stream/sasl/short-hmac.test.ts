import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { shortHmac } from './short-hmac.ts'

const ascii = fc.string({ unit: fc.integer({ min: 1, max: 0x7f }).map((code) => String.fromCharCode(code)), maxLength: 140 })

test('RFC 4231 §4.3: the HMAC of a short text by a short key', () => {
  expect(shortHmac('Jefe', 'what do ya want ', Buffer.from('for nothing?')).toString('hex')).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
})

test('RFC 2104 §2: whatever the lengths, it is the HMAC that everybody else makes', () => {
  fc.assert(
    fc.property(ascii, ascii, fc.uint8Array({ maxLength: 140 }), (key, word, bytes) => {
      const expected = createHmac('sha256', key).update(word).update(bytes).digest()
      expect(shortHmac(key, word, Buffer.from(bytes))).toEqual(expected)
    }),
  )
})
