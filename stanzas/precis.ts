import { BIDI_CLASSES, JOINING_TYPES, PRECIS_CLASSES, VIRAMAS, WIDTH_MAPPINGS } from './prep.tables.ts'

/**
 * The PRECIS string classes (RFC 8264), the contextual rules (RFC 5892 appendix A) and the Bidi Rule (RFC 5893 §2).
 * The tables are decoded when the first text beyond ASCII arrives, and read by binary search.
 */

/** A property of all code points, as a function that gives its letter. */
type Property = (codePoint: number) => string

const decodeRuns = (runs: string): Property => {
  const starts: number[] = []
  const letters: string[] = []
  let start = 0
  for (const [, length = '', letter = ''] of runs.matchAll(/([0-9a-z]+)([A-Z])/g)) {
    starts.push(start)
    letters.push(letter)
    start += Number.parseInt(length, 36)
  }
  return (codePoint) => {
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((starts[middle] ?? 0) <= codePoint) low = middle
      else high = middle - 1
    }
    return letters[low] ?? 'X'
  }
}

const lazy = (runs: string): Property => {
  let property: Property | undefined
  return (codePoint) => {
    property ??= decodeRuns(runs)
    return property(codePoint)
  }
}

const precisClass = lazy(PRECIS_CLASSES)
const bidiClass = lazy(BIDI_CLASSES)
const joiningType = lazy(JOINING_TYPES)
const virama = lazy(VIRAMAS)

let widths: Map<string, string> | undefined

const decodeWidths = (): Map<string, string> => {
  const map = new Map<string, string>()
  for (const run of WIDTH_MAPPINGS.split(' ')) {
    const [from = 0, length = 0, to = 0] = run.split('.').map((field) => Number.parseInt(field, 36))
    for (let i = 0; i < length; i++) map.set(String.fromCodePoint(from + i), String.fromCodePoint(to + i))
  }
  return map
}

/** Maps fullwidth and halfwidth code points to their decompositions (RFC 8264 §5.2.1). */
export const mapWidth = (text: string): string =>
  text.replace(/[\u3000\uff01-\uffee]/g, (char) => {
    widths ??= decodeWidths()
    return widths.get(char) ?? char
  })

const codePointsOf = (text: string): readonly number[] => Array.from(text, (char) => char.codePointAt(0) ?? 0)

/** Whether all code points are in the IdentifierClass (RFC 8264 §4.2), those with a contextual rule in any context. */
export const isInIdentifierClass = (text: string): boolean =>
  codePointsOf(text).every((codePoint) => {
    const letter = precisClass(codePoint)
    return letter === 'P' || letter === 'C'
  })

/** Whether all code points are in the FreeformClass (RFC 8264 §4.3), those with a contextual rule in any context. */
export const isInFreeformClass = (text: string): boolean =>
  codePointsOf(text).every((codePoint) => precisClass(codePoint) !== 'X')

const isVirama = (codePoint: number | undefined): boolean => codePoint !== undefined && virama(codePoint) === 'V'

/** RFC 5892 A.1: between characters that join towards it, transparent ones aside. */
const joinsBothSides = (codePoints: readonly number[], index: number): boolean => {
  const seek = (step: 1 | -1): string => {
    let at = index + step
    while (at >= 0 && at < codePoints.length && joiningType(codePoints[at] ?? 0) === 'T') at += step
    return joiningType(codePoints[at] ?? 0)
  }
  const before = seek(-1)
  const after = seek(1)
  return (before === 'L' || before === 'D') && (after === 'R' || after === 'D')
}

const isScript = (script: RegExp, codePoint: number | undefined): boolean =>
  codePoint !== undefined && script.test(String.fromCodePoint(codePoint))

const GREEK = /\p{Script=Greek}/u
const HEBREW = /\p{Script=Hebrew}/u
const JAPANESE = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u
const ARABIC_INDIC = /[\u0660-\u0669]/
const EXTENDED_ARABIC_INDIC = /[\u06f0-\u06f9]/

const obeysItsRule = (text: string, codePoints: readonly number[], index: number): boolean => {
  const before = codePoints[index - 1]
  switch (codePoints[index]) {
    case 0x200c: // A.1
      return isVirama(before) || joinsBothSides(codePoints, index)
    case 0x200d: // A.2
      return isVirama(before)
    case 0xb7: // A.3
      return before === 0x6c && codePoints[index + 1] === 0x6c
    case 0x375: // A.4
      return isScript(GREEK, codePoints[index + 1])
    case 0x5f3: // A.5, A.6
    case 0x5f4:
      return isScript(HEBREW, before)
    case 0x30fb: // A.7
      return JAPANESE.test(text)
    default: // A.8, A.9
      return !(ARABIC_INDIC.test(text) && EXTENDED_ARABIC_INDIC.test(text))
  }
}

/** Whether every code point that needs a context stands in one (RFC 5892 appendix A). */
export const obeysContextualRules = (text: string): boolean => {
  const codePoints = codePointsOf(text)
  return codePoints.every((codePoint, index) => precisClass(codePoint) !== 'C' || obeysItsRule(text, codePoints, index))
}

/** Whether the text has a character of class R, AL or AN (RFC 5893 §1.4). */
export const isRightToLeft = (text: string): boolean =>
  codePointsOf(text).some((codePoint) => 'RAD'.includes(bidiClass(codePoint)))

// RFC 5893 §2 rules 1–3, 5 and 6, on a string with one letter for the Bidi_Class of each character.
const RIGHT_TO_LEFT_LABEL = /^[RA](?:[RADESCTOBN]*[RADE])?N*$/
const LEFT_TO_RIGHT_LABEL = /^L(?:[LESCTOBN]*[LE])?N*$/

/** Whether the text obeys the Bidi Rule, as a label must once any right-to-left character is about (RFC 5893 §2). */
export const obeysBidiRule = (text: string): boolean => {
  const classes = codePointsOf(text).map(bidiClass).join('')
  if (LEFT_TO_RIGHT_LABEL.test(classes)) return true
  // Rule 4: European and Arabic digits do not mix.
  return RIGHT_TO_LEFT_LABEL.test(classes) && !(classes.includes('E') && classes.includes('D'))
}

/** Whether the text obeys stringprep's rule: right-to-left text has no left-to-right letter and begins and ends right-to-left (RFC 3454 §6). */
export const obeysStringprepBidi = (text: string): boolean => {
  const classes = codePointsOf(text).map(bidiClass).join('')
  return !/[RA]/.test(classes) || (!classes.includes('L') && /^[RA](?:.*[RA])?$/.test(classes))
}
