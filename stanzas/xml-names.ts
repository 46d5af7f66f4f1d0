import { isUtf8 } from 'node:buffer'
import { attributeText, wire } from './wire.ts'
import { malformed } from './xml-error.ts'

/** Bits of `CLASS`: what a byte below 0x80 may be part of. Bytes above have none, they are looked at one sequence at a time. */
export const NAME_START = 1
/** Any byte of a name. */
export const NAME = 2
/** White space. */
export const SPACE = 4
/** Character data that needs no second look: not `<`, `&`, `]`. */
export const TEXT = 8
/** An attribute's value that needs no second look: not `<`, `&`, quotes. */
export const VALUE = 16
/** What CDATA may hold without a second look: not `]`. */
export const CDATA = 32
/** What may stand in a short tag before its `>`. */
export const TAG = 64

const isNameStart = (c: number): boolean => (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || c === 0x5f
const isSpace = (c: number): boolean => c === 0x20 || c === 0x09 || c === 0x0a || c === 0x0d
const isNameOnly = (c: number): boolean => (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2e

const classOf = (c: number): number => {
  if (c >= 0x80 || (c < 0x20 && !isSpace(c))) return 0
  let bits = 0
  if (isNameStart(c)) bits |= NAME_START | NAME
  if (isNameOnly(c)) bits |= NAME
  if (isSpace(c)) bits |= SPACE
  const char = String.fromCharCode(c)
  if (!'<&]'.includes(char)) bits |= TEXT
  if (!'<&\'"'.includes(char)) bits |= VALUE
  if (char !== ']') bits |= CDATA
  if (!'<>&'.includes(char)) bits |= TAG
  return bits
}

const classes = Uint8Array.from({ length: 256 }, (_, c) => classOf(c))

/** The class of each byte; the colon is in no name class, because a qualified name is read in two parts. */
export const CLASS: Uint8Array = classes

/** Passes over bytes that all have one of these bits: four at a time, which is how long texts become cheap. */
export const skip = (bytes: Buffer, from: number, end: number, bits: number): number => {
  let p = from
  for (const last = end - 3; p < last; p += 4) {
    const common =
      (classes[bytes[p] as number] as number) &
      (classes[bytes[p + 1] as number] as number) &
      (classes[bytes[p + 2] as number] as number) &
      (classes[bytes[p + 3] as number] as number)
    if ((common & bits) === 0) break
  }
  while (p < end && ((classes[bytes[p] as number] as number) & bits) !== 0) p++
  return p
}

/** XML 1.0 §2.3 without the colon (Namespaces in XML §3, NCName). */
const START_CHARS =
  'A-Z_a-z\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd\\u{10000}-\\u{effff}'
const NC_NAME = new RegExp(`^[${START_CHARS}][${START_CHARS}\\-.0-9\\xb7\\u0300-\\u036f\\u203f\\u2040]*$`, 'u')

/** Checks a name with bytes above 0x7f against the name production, exactly. */
export const checkForeignName = (bytes: Buffer, start: number, end: number): void => {
  const name = bytes.subarray(start, end)
  if (!isUtf8(name) || !NC_NAME.test(name.toString('utf8'))) malformed('no such character may stand in a name')
}

/**
 * Names and namespaces repeat endlessly, so the text of each is made once: a direct-mapped table from the bytes on the wire to their text.
 * A newcomer takes the place of whoever was in its slot; a peer that makes names up can only make itself slower.
 */
const SLOTS = 2048
const WIDTH = 64
const keys = new Uint8Array(SLOTS * WIDTH)
const lengths = new Uint8Array(SLOTS)
const texts: string[] = new Array<string>(SLOTS).fill('')

/** V8 gives the keys of objects back internalised, so that comparing with a literal is comparing pointers. */
const internalised = (text: string): string => Object.keys({ [text]: 0 })[0] ?? text

const learn = (bytes: Buffer, start: number, end: number, slot: number): string => {
  const text = attributeText(wire(bytes.toString('latin1', start, end)))
  if (end - start > WIDTH) return text
  keys.set(bytes.subarray(start, end), slot * WIDTH)
  lengths[slot] = end - start
  const kept = internalised(text)
  texts[slot] = kept
  return kept
}

/** The text of a name or of an attribute's value that is likely to have been seen before. */
export const interned = (bytes: Buffer, start: number, end: number): string => {
  const length = end - start
  if (length === 0) return ''
  const middle = bytes[start + (length >> 1)] as number
  const near = bytes[end - (length > 3 ? 3 : 1)] as number
  const slot =
    (length * 29 + (bytes[start] as number) * 7 + middle * 61 + near * 389 + (bytes[end - 1] as number) * 149) & (SLOTS - 1)
  if (lengths[slot] !== length) return learn(bytes, start, end, slot)
  const key = slot * WIDTH
  for (let k = 0; k < length; k++) if (keys[key + k] !== bytes[start + k]) return learn(bytes, start, end, slot)
  return texts[slot] as string
}

/** Whether two spans of the same bytes are equal. */
export const sameBytes = (bytes: Buffer, a: number, b: number, length: number): boolean => {
  for (let k = 0; k < length; k++) if (bytes[a + k] !== bytes[b + k]) return false
  return true
}
