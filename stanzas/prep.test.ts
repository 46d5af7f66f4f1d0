import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { obeysBidiRule } from './precis.ts'
import { nickname, opaqueString, saslPrep, usernameCaseMapped } from './prep.ts'

const OGHAM_SPACE = '\u1680'
const anyText = fc.string({ unit: 'binary' })

describe('UsernameCaseMapped', () => {
  test.each([
    ['juliet@example.com', 'juliet@example.com'],
    ['fussball', 'fussball'],
    ['fußball', 'fußball'],
    ['π', 'π'],
    ['Σ', 'σ'],
    ['σ', 'σ'],
    ['ς', 'ς'],
  ])('RFC 8265 §3.5 table 2: %j is legal', (text, prepared) => {
    expect(usernameCaseMapped(text)).toBe(prepared)
  })

  test.each(['foo bar', '', 'henryⅣ', '∞', '♚'])('RFC 8265 §3.5 table 3: %j is not legal', (text) => {
    expect(usernameCaseMapped(text)).toBeUndefined()
  })

  test('RFC 8265 §3.3.1: the class is checked before the case is mapped, so that GREEK CAPITAL THETA SYMBOL is no theta', () => {
    expect(usernameCaseMapped('ϴ')).toBeUndefined()
  })

  test('RFC 8265 §3.3.2: canonical equivalents fare alike', () => {
    expect(usernameCaseMapped('\u09dc')).toBe('\u09a1\u09bc')
    expect(usernameCaseMapped('\u212b')).toBe('å')
  })

  test('RFC 8265 §3.3.2: fullwidth and halfwidth code points are mapped', () => {
    expect(usernameCaseMapped('ＪＵＬＩＥＴ')).toBe('juliet')
    expect(usernameCaseMapped('ﾛﾐｵ')).toBe('ロミオ')
  })

  test('RFC 8265 §3.3.2: normalisation is NFC', () => {
    expect(usernameCaseMapped('A\u0308')).toBe('ä')
  })

  test.each([
    ['שלום', true],
    ['שלום1', true],
    ['1שלום', false],
    ['שלוםa', false],
    ['جولييت٣', true],
    ['جولييت٣3', false],
  ])('RFC 8265 §3.3.2 (5): right-to-left %j obeys the Bidi Rule: %j', (text, isAllowed) => {
    expect(usernameCaseMapped(text) !== undefined).toBe(isAllowed)
  })

  test.each([
    ['A.1 ZERO WIDTH NON-JOINER between joining letters', 'می\u200cخواهم', true],
    ['A.1 ZERO WIDTH NON-JOINER after a virama', 'क्\u200cष', true],
    ['A.1 ZERO WIDTH NON-JOINER between letters that do not join', 'a\u200cb', false],
    ['A.2 ZERO WIDTH JOINER after a virama', 'क्\u200dष', true],
    ['A.2 ZERO WIDTH JOINER elsewhere', 'क\u200dष', false],
    ['A.3 MIDDLE DOT between two l', 'col·lecció', true],
    ['A.3 MIDDLE DOT between two l that were L', 'COL·LECCIÓ', true],
    ['A.3 MIDDLE DOT elsewhere', 'a·b', false],
    ['A.4 GREEK LOWER NUMERAL SIGN before a Greek letter', '͵α', true],
    ['A.4 GREEK LOWER NUMERAL SIGN elsewhere', '͵a', false],
    ['A.5 HEBREW GERESH after a Hebrew letter', 'א׳', true],
    ['A.5 HEBREW GERESH at the start', '׳א', false],
    ['A.6 HEBREW GERSHAYIM after a Hebrew letter', 'א״ב', true],
    ['A.7 KATAKANA MIDDLE DOT beside Japanese', 'ア・イ', true],
    ['A.7 KATAKANA MIDDLE DOT alone', 'a・b', false],
    ['A.8 ARABIC-INDIC DIGITS with extended ones', 'ج٣۳', false],
  ])('RFC 5892 %s', (_, text, isAllowed) => {
    expect(usernameCaseMapped(text) !== undefined).toBe(isAllowed)
  })

  test.each([
    ['§9.10 old Hangul Jamo', '\u1112\u119e'],
    ['§9.6 ARABIC TATWEEL', 'ـ'],
    ['§9.13 SOFT HYPHEN', 'a\u00adb'],
    ['§9.5 an unassigned code point', '\u0378'],
    ['§9.14 a private one', '\ue000'],
    ['§9.12 a control', 'a\u0007'],
    ['a lone surrogate', '\ud800'],
  ])('RFC 8264 %s is disallowed', (_, text) => {
    expect(usernameCaseMapped(text)).toBeUndefined()
    expect(opaqueString(text)).toBeUndefined()
  })

  test('RFC 8264 §7: what is prepared stays as it is when it is prepared again', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const prepared = usernameCaseMapped(text)
        return prepared === undefined || usernameCaseMapped(prepared) === prepared
      }),
    )
  })
})

describe('OpaqueString', () => {
  test.each([
    ['correct horse battery staple', 'correct horse battery staple'],
    ['Correct Horse Battery Staple', 'Correct Horse Battery Staple'],
    ['πßå', 'πßå'],
    ['Jack of ♦s', 'Jack of ♦s'],
    [`foo${OGHAM_SPACE}bar`, 'foo bar'],
  ])('RFC 8265 §4.3 table 4: %j is legal', (text, prepared) => {
    expect(opaqueString(text)).toBe(prepared)
  })

  test.each(['', 'my cat is a \tby'])('RFC 8265 §4.3 table 5: %j is not legal', (text) => {
    expect(opaqueString(text)).toBeUndefined()
  })

  test('RFC 8265 §4.2.2: compatibility characters keep their form, composition is NFC', () => {
    expect(opaqueString('Ⅳ ﬁ ａ e\u0301')).toBe('Ⅳ ﬁ ａ é')
  })

  test('RFC 8264 §7: what is prepared stays as it is when it is prepared again', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const prepared = opaqueString(text)
        return prepared === undefined || opaqueString(prepared) === prepared
      }),
    )
  })
})

describe('Nickname', () => {
  test.each([
    ['Foo', 'Foo', 'foo'],
    ['foo', 'foo', 'foo'],
    ['Foo Bar', 'Foo Bar', 'foo bar'],
    ['foo bar', 'foo bar', 'foo bar'],
    ['Σ', 'Σ', 'σ'],
    ['σ', 'σ', 'σ'],
    ['ς', 'ς', 'ς'],
    ['♚', '♚', '♚'],
    ['Richard Ⅳ', 'Richard IV', 'richard iv'],
  ])('RFC 8266 §3 table 1: %j is shown as %j and compared as %j', (text, shown, compared) => {
    expect(nickname(text)).toBe(shown)
    expect(nickname(text)?.toLowerCase()).toBe(compared)
  })

  test('RFC 8266 §2.1: spaces are mapped, trimmed and folded', () => {
    expect(nickname(` Swan ${OGHAM_SPACE} of\u00a0 Avon  `)).toBe('Swan of Avon')
  })

  test('RFC 8266 §2.3: spaces that the normalisation brings are trimmed as well', () => {
    expect(nickname('\u00a8a')).toBe('\u0308a')
  })

  test.each(['', '  ', 'a\nb'])('RFC 8266 §2.3: %j is no nickname', (text) => {
    expect(nickname(text)).toBeUndefined()
  })

  test('RFC 8264 §7: what is prepared stays as it is when it is prepared again', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const prepared = nickname(text)
        return prepared === undefined || nickname(prepared) === prepared
      }),
    )
  })
})

describe('SASLprep', () => {
  test.each([
    ['I\u00adX', 'IX'],
    ['user', 'user'],
    ['USER', 'USER'],
    ['ª', 'a'],
    ['Ⅸ', 'IX'],
    ['\u0007', undefined],
    ['\u0627\u0031', undefined],
  ])('RFC 4013 §3: %j becomes %j', (text, prepared) => {
    expect(saslPrep(text)).toBe(prepared)
  })

  test('RFC 4013 §2.1: other spaces become spaces', () => {
    expect(saslPrep('a\u00a0b\u3000c')).toBe('a b c')
  })

  test.each(['', '\u00ad', '\ue000', '\u200e', '\ufffd', '\u{e0001}'])('RFC 4013 §2.3: %j is prohibited', (text) => {
    expect(saslPrep(text)).toBeUndefined()
  })

  test('RFC 3454 §7: what Unicode 3.2 did not know is let through', () => {
    expect(saslPrep('pass😀word')).toBe('pass😀word')
  })
})

test.each([
  ['abc', true],
  ['a1', true],
  ['1a', false],
  ['a-', false],
  ['אב', true],
  ['א1\u05b0', true],
  ['א-', false],
  ['אa', false],
  ['א1٣', false],
  ['', false],
])('RFC 5893 §2: %j obeys the Bidi Rule: %j', (label, obeys) => {
  expect(obeysBidiRule(label)).toBe(obeys)
})
