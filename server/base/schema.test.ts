import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { bytes, choice, duration, integer, list, optionalText, parseBytes, parseDuration, text } from './schema.ts'

describe('units', () => {
  test.each([
    ['0s', 0],
    ['500ms', 500],
    ['60s', 60_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['60', undefined],
    ['60 sec', undefined],
    ['-1s', undefined],
    ['1e3s', undefined],
    ['9999999999999d', undefined],
    ['', undefined],
  ])('a duration of %j is %j ms', (written, ms) => expect(parseDuration(written)).toBe(ms))

  test.each([
    ['512 B', 512],
    ['10 KB', 10_000],
    ['256 KiB', 262_144],
    ['4MiB', 4_194_304],
    ['1 GB', 1_000_000_000],
    ['1 kb', undefined],
    ['0.5 B', undefined],
  ])('a size of %j is %j bytes', (written, size) => expect(parseBytes(written)).toBe(size))

  test('no text but a number and a unit is a duration', () => {
    fc.assert(
      fc.property(fc.string(), (written) => parseDuration(written) === undefined || /^\d+(\.\d+)? ?(ms|s|m|h|d)$/.test(written)),
    )
  })
})

describe('a field', () => {
  test('keeps what a page needs: default, limits and what may be written', () => {
    expect(duration('60s', { doc: 'How long.', min: '1s', max: '1h' })).toMatchObject({
      type: 'duration',
      doc: 'How long.',
      default: 60_000,
      defaultText: '60s',
      accepts: 'a length of time from 1s to 1h, such as 500ms, 60s, 5m, 2h or 7d',
    })
    expect(bytes('4 KiB', { doc: '' })).toMatchObject({ default: 4096, defaultText: '4 KiB' })
    expect(integer({ default: 'off', or: ['off'], doc: '' })).toMatchObject({ default: 'off', accepts: 'a whole number, or off' })
    expect(choice(['a', 'b', 'c'], { default: 'b', doc: '' }).accepts).toBe('a, b or c')
    expect(optionalText({ doc: '' })).toMatchObject({ default: undefined, defaultText: '' })
    expect(list(text({ default: '', doc: '' }), { default: ['x', 'y'], doc: '' })).toMatchObject({ defaultText: '[x, y]' })
  })

  test('reads a word where one is allowed', () => {
    const field = duration('1d', { doc: '', or: ['forever'] })
    expect(v.parse(field.schema, 'forever')).toBe('forever')
    expect(v.parse(field.schema, '2d')).toBe(172_800_000)
    expect(v.safeParse(field.schema, 'never').success).toBe(false)
  })
})
