import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDateTime, parseDateTime } from './datetime.ts'

const MOON = Date.UTC(1969, 6, 21, 2, 56, 15)

test.each([
  ['1969-07-21T02:56:15Z', MOON],
  ['1969-07-20T21:56:15-05:00', MOON],
  ['1969-07-21T02:56:15.5Z', MOON + 500],
  ['1969-07-21T02:56:15.123456789Z', MOON + 123],
  ['1969-07-21T16:56:15+14:00', MOON],
  ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
])('XEP-0082 §3.2: %s is a moment', (text, atMs) => {
  expect(parseDateTime(text)).toBe(atMs)
})

test.each([
  ['a date alone', '1969-07-21'],
  ['no zone', '1969-07-21T02:56:15'],
  ['a space for the T', '1969-07-21 02:56:15Z'],
  ['lower case', '1969-07-21t02:56:15z'],
  ['the old format', '19690721T02:56:15'],
  ['the thirteenth month', '1969-13-21T02:56:15Z'],
  ['30 February', '2024-02-30T00:00:00Z'],
  ['29 February of no leap year', '2023-02-29T00:00:00Z'],
  ['hour 24', '1969-07-21T24:00:00Z'],
  ['minute 60', '1969-07-21T02:60:15Z'],
  ['second 60', '1969-07-21T02:56:60Z'],
  ['a fraction without digits', '1969-07-21T02:56:15.Z'],
  ['a zone beyond fourteen hours', '1969-07-21T02:56:15+14:01'],
  ['a zone without a colon', '1969-07-21T02:56:15+0500'],
  ['space around', ' 1969-07-21T02:56:15Z'],
  ['nothing', ''],
])('XEP-0082 §3.2: %s is none', (_, text) => {
  expect(parseDateTime(text)).toBeUndefined()
})

test('XEP-0082 §3.2: what is written is read back', () => {
  expect(formatDateTime(MOON)).toBe('1969-07-21T02:56:15.000Z')
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) }), (atMs) => parseDateTime(formatDateTime(atMs)) === atMs),
  )
})
