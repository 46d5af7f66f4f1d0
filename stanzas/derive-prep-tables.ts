/**
 * Derives `prep.tables.ts` from the Unicode Character Database: `node stanzas/derive-prep-tables.ts <folder with UnicodeData.txt>`.
 * Tables of a newer Unicode version may refuse a few code points that were allowed (RFC 8264 §13.1): compare before accounts depend on them.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const END = 0x110000

type Range = readonly [first: number, last: number, value: string]

const parseRange = (range: string): readonly [number, number] => {
  const [first = '', last = first] = range.split('..')
  return [Number.parseInt(first, 16), Number.parseInt(last, 16)]
}

/** Reads lines such as `0600..0605 ; AN # comment`. */
const readProperty = (file: string): readonly Range[] => {
  const ranges: Range[] = []
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [range = '', value] = (line.split('#')[0] ?? '').split(';').map((field) => field.trim())
    if (range !== '' && value !== undefined) ranges.push([...parseRange(range), value])
  }
  return ranges
}

const spread = (ranges: readonly Range[], otherwise: string): string[] => {
  const values = new Array<string>(END).fill(otherwise)
  for (const [first, last, value] of ranges) values.fill(value, first, last + 1)
  return values
}

interface CodePoints {
  readonly category: readonly string[]
  readonly combiningClass: readonly string[]
  readonly width: readonly (readonly [number, number])[]
}

/** UnicodeData.txt: general category, canonical combining class, and the decompositions of type wide and narrow. */
const readCodePoints = (file: string): CodePoints => {
  const category = new Array<string>(END).fill('Cn')
  const combiningClass = new Array<string>(END).fill('0')
  const width: (readonly [number, number])[] = []
  let rangeStart = 0
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [hex = '', name = '', gc = '', ccc = '', , decomposition = ''] = line.split(';')
    if (hex === '') continue
    const codePoint = Number.parseInt(hex, 16)
    if (name.endsWith(', First>')) rangeStart = codePoint
    const start = name.endsWith(', Last>') ? rangeStart : codePoint
    category.fill(gc, start, codePoint + 1)
    combiningClass.fill(ccc, start, codePoint + 1)
    const mapped = /^<(?:wide|narrow)> ([0-9A-F]+)$/.exec(decomposition)?.[1]
    if (mapped !== undefined) width.push([codePoint, Number.parseInt(mapped, 16)])
  }
  return { category, combiningClass, width }
}

// RFC 8264 §9.6, the same list as RFC 5892 §2.6.
const EXCEPTIONS: readonly Range[] = [
  ...[0xdf, 0x3c2, 0x6fd, 0x6fe, 0xf0b, 0x3007].map((cp): Range => [cp, cp, 'PVALID']),
  ...[0xb7, 0x375, 0x5f3, 0x5f4, 0x30fb].map((cp): Range => [cp, cp, 'CONTEXT']),
  [0x660, 0x669, 'CONTEXT'],
  [0x6f0, 0x6f9, 'CONTEXT'],
  ...[0x640, 0x7fa, 0x302e, 0x302f, 0x303b].map((cp): Range => [cp, cp, 'DISALLOWED']),
  [0x3031, 0x3035, 'DISALLOWED'],
]

const LETTER_DIGITS = new Set(['Ll', 'Lu', 'Lo', 'Nd', 'Lm', 'Mn', 'Mc'])
const FREEFORM_CATEGORIES = new Set([
  'Lt',
  'Nl',
  'No',
  'Me',
  'Zs',
  'Sm',
  'Sc',
  'Sk',
  'So',
  'Pc',
  'Pd',
  'Ps',
  'Pe',
  'Pi',
  'Pf',
  'Po',
])

/** RFC 8264 §8: the derived property, in the order the section gives. */
const derive = (folder: string, { category }: CodePoints): readonly string[] => {
  const exceptions = new Map(
    EXCEPTIONS.flatMap(([first, last, value]) => Array.from({ length: last - first + 1 }, (_, i) => [first + i, value])),
  )
  const ignorable = new Set<number>()
  for (const [first, last, name] of readProperty(join(folder, 'DerivedCoreProperties.txt')))
    if (name === 'Default_Ignorable_Code_Point') for (let cp = first; cp <= last; cp++) ignorable.add(cp)
  const hangul = spread(readProperty(join(folder, 'HangulSyllableType.txt')), '')

  const property = (cp: number): string => {
    const gc = category[cp] ?? 'Cn'
    const exception = exceptions.get(cp)
    if (exception !== undefined) return String(exception)
    if (gc === 'Cn') return 'DISALLOWED'
    if (cp >= 0x21 && cp <= 0x7e) return 'PVALID'
    if (cp === 0x200c || cp === 0x200d) return 'CONTEXT'
    if (/^[LVT]$/.test(hangul[cp] ?? '') || ignorable.has(cp) || gc === 'Cc' || gc === 'Cs') return 'DISALLOWED'
    const text = String.fromCodePoint(cp)
    // Normalisation of an assigned code point never changes, so the running ICU may be newer than the database.
    if (text.normalize('NFKC') !== text) return 'FREEFORM'
    if (LETTER_DIGITS.has(gc)) return 'PVALID'
    return FREEFORM_CATEGORIES.has(gc) ? 'FREEFORM' : 'DISALLOWED'
  }
  return Array.from({ length: END }, (_, cp) => property(cp))
}

/** Writes a partition of all code points as runs: a length in base 36 and an upper-case letter for the value. */
const encodeRuns = (values: readonly string[], letters: Readonly<Record<string, string>>): string => {
  let text = ''
  let start = 0
  const letterAt = (cp: number): string => letters[values[cp] ?? ''] ?? 'X'
  for (let cp = 1; cp <= values.length; cp++) {
    if (cp < values.length && letterAt(cp) === letterAt(start)) continue
    text += (cp - start).toString(36) + letterAt(start)
    start = cp
  }
  return text
}

/** Writes single mappings as runs of consecutive ones: first code point, length and first target, in base 36. */
const encodeMappings = (pairs: readonly (readonly [number, number])[]): string => {
  const runs: [from: number, length: number, to: number][] = []
  for (const [from, to] of pairs) {
    const run = runs.at(-1)
    if (run !== undefined && run[0] + run[1] === from && run[2] + run[1] === to) run[1]++
    else runs.push([from, 1, to])
  }
  return runs.map((run) => run.map((n) => n.toString(36)).join('.')).join(' ')
}

const main = (folder: string): void => {
  const version = /-(\d+\.\d+\.\d+)\.txt/.exec(readFileSync(join(folder, 'DerivedCoreProperties.txt'), 'utf8'))?.[1]
  if (version === undefined) throw new Error(`${folder}: DerivedCoreProperties.txt does not name its version`)
  const codePoints = readCodePoints(join(folder, 'UnicodeData.txt'))
  const bidi = spread(readProperty(join(folder, 'extracted/DerivedBidiClass.txt')), 'L')
  const joining = spread(readProperty(join(folder, 'extracted/DerivedJoiningType.txt')), 'U')
  const classes = derive(folder, codePoints)
  const tables = {
    PRECIS_CLASSES: encodeRuns(classes, { PVALID: 'P', CONTEXT: 'C', FREEFORM: 'F', DISALLOWED: 'X' }),
    BIDI_CLASSES: encodeRuns(bidi, {
      L: 'L',
      R: 'R',
      AL: 'A',
      AN: 'D',
      EN: 'E',
      ES: 'S',
      CS: 'C',
      ET: 'T',
      ON: 'O',
      BN: 'B',
      NSM: 'N',
    }),
    JOINING_TYPES: encodeRuns(joining, { L: 'L', D: 'D', R: 'R', T: 'T', C: 'X', U: 'X' }),
    VIRAMAS: encodeRuns(codePoints.combiningClass, { 9: 'V' }),
    WIDTH_MAPPINGS: encodeMappings(codePoints.width),
  }
  const docs: Readonly<Record<keyof typeof tables, string>> = {
    PRECIS_CLASSES:
      'RFC 8264 §8: P is PVALID, C needs its context, F is valid in the FreeformClass only, X is disallowed or unassigned.',
    BIDI_CLASSES:
      'Bidi_Class, one letter each: L, R, A (AL), D (AN), E (EN), S (ES), C (CS), T (ET), O (ON), B (BN), N (NSM), X for the rest.',
    JOINING_TYPES: 'Joining_Type: L, D, R, T; X for the rest.',
    VIRAMAS: 'V where the Canonical_Combining_Class is Virama.',
    WIDTH_MAPPINGS: 'Decompositions of type wide and narrow: first code point, how many in a row, first target.',
  }
  let source = `// Derived from Unicode ${version} by derive-prep-tables.ts; runs are a length in base 36 and a letter.\n`
  for (const name of Object.keys(tables) as (keyof typeof tables)[])
    source += `\n/** ${docs[name]} */\nexport const ${name} =\n  '${tables[name]}'\n`
  writeFileSync(join(import.meta.dirname, 'prep.tables.ts'), source)
}

main(process.argv[2] ?? '/usr/share/unicode')
