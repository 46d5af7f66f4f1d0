import { malformed, restricted, XmlError } from './xml-error.ts'
import { CDATA, skip, TEXT } from './xml-names.ts'

/*
 * Characters as they stand in a document, below tags. Every function reads `bytes` from `p`, never at or behind `end`, and returns where it got to:
 * -1 says that the bytes end before it can tell.
 */

const QUOTE = 0x22
const AMPERSAND = 0x26
const APOSTROPHE = 0x27
const SEMICOLON = 0x3b
const LESS_THAN = 0x3c
const GREATER_THAN = 0x3e
const BRACKET = 0x5d

/** `&#x10ffff;` is 10 bytes long; leading zeros are allowed, but not without end. */
const MAX_REFERENCE_BYTES = 20

/** XML 1.0 §2.2, for what a character reference may name. */
const isChar = (c: number): boolean =>
  (c >= 0x20 && c <= 0xd7ff) ||
  c === 0x09 ||
  c === 0x0a ||
  c === 0x0d ||
  (c >= 0xe000 && c <= 0xfffd) ||
  (c >= 0x10000 && c <= 0x10ffff)

const isContinuation = (c: number | undefined): boolean => c !== undefined && (c & 0xc0) === 0x80

/** Reads one character of two to four bytes (RFC 3629 §4), which must be one that XML allows. */
export const readSequence = (bytes: Buffer, p: number, end: number): number => {
  const lead = bytes[p] as number
  if (lead < 0xc2 || lead > 0xf4) malformed('this is not UTF-8')
  if (p + 1 >= end) return -1
  const second = bytes[p + 1] as number
  if ((second & 0xc0) !== 0x80) malformed('this is not UTF-8')
  if (lead < 0xe0) return p + 2

  // RFC 3629 §4: no longer form than needed, no surrogates, nothing above U+10FFFF.
  if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) malformed('this is not UTF-8')
  if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) malformed('this is not UTF-8')
  if (p + 2 >= end) return -1
  const third = bytes[p + 2] as number
  if (!isContinuation(third)) malformed('this is not UTF-8')
  if (lead < 0xf0) {
    if (lead === 0xef && second === 0xbf && third >= 0xbe) malformed('U+FFFE and U+FFFF are no characters')
    return p + 3
  }
  if (p + 3 >= end) return -1
  if (!isContinuation(bytes[p + 3])) malformed('this is not UTF-8')
  return p + 4
}

const checkReference = (reference: string): void => {
  if (/^(?:amp|lt|gt|quot|apos)$/.test(reference)) return
  const digits = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(reference)
  if (digits !== null) {
    const code = digits[1] === undefined ? Number.parseInt(digits[2] ?? '', 10) : Number.parseInt(digits[1], 16)
    if (!isChar(code)) malformed('the character reference names no character')
    return
  }
  // RFC 6120 §11.1: references to any other entity.
  if (/^[A-Za-z_:\x80-\xff][-.\w:\x80-\xff]*$/.test(reference)) restricted('only the five predefined entities may be used')
  malformed('an ampersand must begin a reference')
}

/** Reads a reference from its `&` to behind its semicolon. */
export const readReference = (bytes: Buffer, p: number, end: number): number => {
  // The two that people write all the time.
  if (p + 4 < end && bytes[p + 1] !== 0x23) {
    if (bytes[p + 1] === 0x61 && bytes[p + 2] === 0x6d && bytes[p + 3] === 0x70 && bytes[p + 4] === SEMICOLON) return p + 5
    if (bytes[p + 2] === 0x74 && bytes[p + 3] === SEMICOLON && (bytes[p + 1] === 0x6c || bytes[p + 1] === 0x67)) return p + 4
  }
  for (let q = p + 1; q < end; q++) {
    const c = bytes[q] as number
    if (c === SEMICOLON) {
      checkReference(bytes.toString('latin1', p + 1, q))
      return q + 1
    }
    if (c <= 0x20 || c === LESS_THAN || c === GREATER_THAN || c === AMPERSAND || c === QUOTE || c === APOSTROPHE) {
      malformed('an ampersand must begin a reference')
    }
    if (q - p >= MAX_REFERENCE_BYTES) throw new XmlError('policy-violation', 'the reference is too long')
  }
  return -1
}

/** Reads one character of character data, which is not a `<`, or a reference to one. */
export const readCharacter = (bytes: Buffer, p: number, end: number): number => {
  const c = bytes[p] as number
  if (c >= 0x80) return readSequence(bytes, p, end)
  if (c === AMPERSAND) return readReference(bytes, p, end)
  if (c < 0x20 && c !== 0x09 && c !== 0x0a && c !== 0x0d) malformed('no such control character is allowed')
  return p + 1
}

/** Where `readText` and `readCdata` stopped when they returned -1: everything before is good. */
export let stoppedAt = 0

/** Reads character data up to the next `<`. */
export const readText = (bytes: Buffer, from: number, end: number): number => {
  let p = from
  for (;;) {
    p = skip(bytes, p, end, TEXT)
    const c = bytes[p] as number
    let next = -1
    if (p === end) next = -1
    else if (c === LESS_THAN) return p
    else if (c === BRACKET) next = readBracket(bytes, p, end)
    else next = readCharacter(bytes, p, end)
    if (next === -1) {
      stoppedAt = p
      return -1
    }
    p = next
  }
}

/** XML 1.0 §2.4: `]]>` may not stand in character data. */
const readBracket = (bytes: Buffer, p: number, end: number): number => {
  if (p + 1 >= end) return -1
  if (bytes[p + 1] !== BRACKET) return p + 1
  if (p + 2 >= end) return -1
  if (bytes[p + 2] === GREATER_THAN) malformed(']]> may not stand in text')
  return p + 1
}

/** Reads the content of a CDATA section to behind its `]]>`. */
export const readCdata = (bytes: Buffer, from: number, end: number): number => {
  let p = from
  for (;;) {
    p = skip(bytes, p, end, CDATA)
    const c = bytes[p] as number
    let next = -1
    if (p === end) next = -1
    else if (c >= 0x80) next = readSequence(bytes, p, end)
    else if (c !== BRACKET) malformed('no such control character is allowed')
    else if (p + 2 < end) {
      if (bytes[p + 1] === BRACKET && bytes[p + 2] === GREATER_THAN) return p + 3
      next = p + 1
    }
    if (next === -1) {
      stoppedAt = p
      return -1
    }
    p = next
  }
}
