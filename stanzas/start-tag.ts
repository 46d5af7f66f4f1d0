import { readReference, readSequence } from './xml-chars.ts'
import { malformed, XmlError } from './xml-error.ts'
import { CLASS, checkForeignName, NAME, NAME_START, SPACE, sameBytes, skip, VALUE } from './xml-names.ts'

/** V8 folds a module's own constants into loops, but fetches imported ones for every byte. */
const classes = CLASS
const NAME_BYTE = NAME
const SPACE_BYTE = SPACE

const QUOTE = 0x22
const AMPERSAND = 0x26
const APOSTROPHE = 0x27
const SLASH = 0x2f
const COLON = 0x3a
const EQUALS = 0x3d
const GREATER_THAN = 0x3e

/** Pairs are compared one by one up to this many attributes; with more, a peer could make that expensive. */
const FEW_ATTRIBUTES = 12

/** How many numbers `StartTag.attributes` holds for each. */
export const ATTRIBUTE_SIZE = 6

/** What the start tag that was read last says. Offsets are into the bytes it was read from; it is valid until the next tag is read. */
class StartTag {
  nameStart = 0
  nameEnd = 0
  /** Where the name's colon is, or -1. */
  colon = -1
  isEmpty = false
  hasDeclarations = false
  hasPrefixes = false
  /** How many attributes there are. */
  count = 0
  /** `ATTRIBUTE_SIZE` numbers for each attribute, at the places below. */
  attributes = new Int32Array(64 * ATTRIBUTE_SIZE)
}

/** Where an attribute's numbers stand: name, colon or -1, value between its quotes, and 1 when it is `xmlns` or `xmlns:…`. */
export const START = 0
export const END = 1
export const COLON_AT = 2
export const VALUE_START = 3
export const VALUE_END = 4
export const DECLARES = 5

/** Shared by all readers: nobody else runs between reading a tag and using it. */
export const tag = new StartTag()

/** Where the colon was in the name that `readName` read last, or -1. */
let colonAt = -1

/** Reads a qualified name (Namespaces in XML §4); returns where it ends, -1 when the bytes end first. */
const readName = (bytes: Buffer, from: number, end: number): number => {
  colonAt = -1
  let p = from
  for (;;) {
    if (p === end) return -1
    const partStart = p
    let isForeign = (bytes[p] as number) >= 0x80
    if (!isForeign && ((classes[bytes[p] as number] as number) & NAME_START) === 0) malformed('a name must begin here')
    for (p++; p < end; p++) {
      const c = bytes[p] as number
      if (((classes[c] as number) & NAME_BYTE) !== 0) continue
      if (c < 0x80) break
      isForeign = true
    }
    if (p === end) return -1
    if (isForeign) checkForeignName(bytes, partStart, p)
    if (bytes[p] !== COLON) return p
    if (colonAt !== -1) malformed('a name may hold one colon')
    colonAt = p
    p++
  }
}

const skipSpace = (bytes: Buffer, from: number, end: number): number => {
  let p = from
  while (p < end && ((classes[bytes[p] as number] as number) & SPACE_BYTE) !== 0) p++
  return p
}

/** Reads a start tag from its `<` into `tag`; returns the offset behind it, -1 when the bytes end first. */
export const readStartTag = (bytes: Buffer, from: number, end: number, maxAttributes: number): number => {
  const after = readParts(bytes, from, end, maxAttributes)
  if (after !== -1 && tag.count > FEW_ATTRIBUTES) checkAllDiffer(bytes)
  return after
}

const readParts = (bytes: Buffer, from: number, end: number, maxAttributes: number): number => {
  tag.count = 0
  tag.hasDeclarations = false
  tag.hasPrefixes = false
  tag.nameStart = from + 1
  let p = readName(bytes, from + 1, end)
  if (p === -1) return -1
  tag.nameEnd = p
  tag.colon = colonAt

  for (;;) {
    if (p === end) return -1
    let c = bytes[p] as number
    if (((classes[c] as number) & SPACE_BYTE) !== 0) {
      p = skipSpace(bytes, p + 1, end)
      if (p === end) return -1
      c = bytes[p] as number
      if (c !== GREATER_THAN && c !== SLASH) {
        p = readAttribute(bytes, p, end, maxAttributes)
        if (p === -1) return -1
        continue
      }
    }
    if (c === GREATER_THAN) {
      tag.isEmpty = false
      return p + 1
    }
    if (c !== SLASH) malformed('this may not stand in a tag')
    if (p + 1 === end) return -1
    if (bytes[p + 1] !== GREATER_THAN) malformed('a slash must end the tag')
    tag.isEmpty = true
    return p + 2
  }
}

/** Reads one attribute from its name to behind its closing quote. */
const readAttribute = (bytes: Buffer, start: number, end: number, maxAttributes: number): number => {
  const index = tag.count
  if (index >= maxAttributes) throw new XmlError('policy-violation', 'the element has too many attributes')
  const nameEnd = readName(bytes, start, end)
  if (nameEnd === -1) return -1
  const colon = colonAt

  let p = skipSpace(bytes, nameEnd, end)
  if (p === end) return -1
  if (bytes[p] !== EQUALS) malformed('an attribute needs a value')
  p = skipSpace(bytes, p + 1, end)
  if (p === end) return -1
  const quote = bytes[p] as number
  if (quote !== QUOTE && quote !== APOSTROPHE) malformed("an attribute's value stands in quotes")
  const valueStart = p + 1
  const valueEnd = readValue(bytes, valueStart, end, quote)
  if (valueEnd === -1) return -1

  const at = index * ATTRIBUTE_SIZE
  if (at === tag.attributes.length) grow()
  const { attributes } = tag
  const declares = isDeclaration(bytes, start, nameEnd, colon)
  attributes[at] = start
  attributes[at + END] = nameEnd
  attributes[at + COLON_AT] = colon
  attributes[at + VALUE_START] = valueStart
  attributes[at + VALUE_END] = valueEnd
  attributes[at + DECLARES] = declares ? 1 : 0
  if (declares) tag.hasDeclarations = true
  else if (colon !== -1) tag.hasPrefixes = true
  tag.count = index + 1
  if (index > 0 && index < FEW_ATTRIBUTES) checkIsNew(bytes, index)
  return valueEnd + 1
}

/** Reads an attribute's value up to its closing quote. */
const readValue = (bytes: Buffer, from: number, end: number, quote: number): number => {
  let p = from
  for (;;) {
    p = skip(bytes, p, end, VALUE)
    if (p === end) return -1
    const c = bytes[p] as number
    if (c === quote) return p
    if (c >= 0x80) p = readSequence(bytes, p, end)
    else if (c === AMPERSAND) p = readReference(bytes, p, end)
    else if (c === QUOTE || c === APOSTROPHE) p++
    else malformed("this may not stand in an attribute's value")
    if (p === -1) return -1
  }
}

const isDeclaration = (bytes: Buffer, start: number, end: number, colon: number): boolean =>
  bytes[start] === 0x78 &&
  (colon === start + 5 || (colon === -1 && end === start + 5)) &&
  bytes[start + 1] === 0x6d &&
  bytes[start + 2] === 0x6c &&
  bytes[start + 3] === 0x6e &&
  bytes[start + 4] === 0x73

const grow = (): void => {
  const larger = new Int32Array(2 * tag.attributes.length)
  larger.set(tag.attributes)
  tag.attributes = larger
}

/** XML 1.0 §3.1: no attribute name appears twice in a tag. */
const checkIsNew = (bytes: Buffer, index: number): void => {
  const { attributes } = tag
  const last = index * ATTRIBUTE_SIZE
  const start = attributes[last] as number
  const length = (attributes[last + END] as number) - start
  for (let at = 0; at < last; at += ATTRIBUTE_SIZE) {
    const other = attributes[at] as number
    if ((attributes[at + END] as number) - other === length && sameBytes(bytes, other, start, length))
      malformed('an attribute appears twice')
  }
}

const checkAllDiffer = (bytes: Buffer): void => {
  const names = new Set<string>()
  for (let at = 0; at < tag.count * ATTRIBUTE_SIZE; at += ATTRIBUTE_SIZE) {
    names.add(bytes.toString('latin1', tag.attributes[at], tag.attributes[at + END]))
  }
  if (names.size < tag.count) malformed('an attribute appears twice')
}
