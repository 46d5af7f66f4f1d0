/**
 * Wire text: a string whose char codes are the UTF-8 bytes on the socket (what `latin1` decoding of those bytes gives).
 * Payloads travel through the server in this form untouched; text that code reads is decoded where it is read.
 */
declare const wireBrand: unique symbol
export type Wire = string & { readonly [wireBrand]: true }

const NON_ASCII = /[\x80-\uffff]/
/** XML 1.0 §2.2: no document may hold these, not even escaped; a lone surrogate has no bytes in UTF-8 either. */
const FORBIDDEN = '\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffe\\uffff'
const IN_ATTRIBUTE = new RegExp(`[&<>'"\\t\\n\\r${FORBIDDEN}]`, 'g')
const IN_TEXT = new RegExp(`[&<>\\r${FORBIDDEN}]`, 'g')
/** Whether `IN_ATTRIBUTE` or `IN_TEXT` have anything to do; without the `g` flag it keeps no position. */
const NEEDS_ESCAPE = new RegExp(IN_ATTRIBUTE.source)

/** Marks a string literal or an already encoded string as wire text. The caller vouches that it is UTF-8 bytes as latin1. */
export const wire = (encoded: string): Wire => encoded as Wire

/** Decodes wire bytes to ordinary text; entities are left as they stand. */
export const toText = (encoded: Wire): string =>
  NON_ASCII.test(encoded) ? Buffer.from(encoded, 'latin1').toString('utf8') : encoded

/** Encodes ordinary text to wire bytes, without escaping. */
export const toWire = (text: string): Wire => (NON_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text) as Wire

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
}

/** What cannot be escaped becomes U+FFFD: text of our own making must never end a recipient's stream. */
const escaped = (char: string): string => ESCAPES[char] ?? '\ufffd'

/** Encodes text for an attribute value inside either kind of quote. */
export const escapeAttribute = (text: string): Wire =>
  toWire(NEEDS_ESCAPE.test(text) ? text.replace(IN_ATTRIBUTE, escaped) : text)

/** Encodes text for element content. */
export const escapeText = (text: string): Wire => toWire(NEEDS_ESCAPE.test(text) ? text.replace(IN_TEXT, escaped) : text)

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** Decodes an attribute value or character data, already checked by the tokenizer, to ordinary text. */
const decode = (encoded: Wire): string => {
  const text = toText(encoded)
  if (!text.includes('&')) return text
  return text.replace(/&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(\w+));/g, (_, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? ''
    return String.fromCodePoint(hex === undefined ? Number.parseInt(decimal ?? '', 10) : Number.parseInt(hex, 16))
  })
}

export { decode as unescape }

/** Decodes an attribute's raw value; XML 1.0 §3.3.3: white space that is not a character reference is read as a space. */
export const attributeText = (raw: Wire): string => decode(/[\t\n\r]/.test(raw) ? wire(raw.replace(/\r\n|[\t\n\r]/g, ' ')) : raw)

/** Decodes raw character data without markup; XML 1.0 §2.11: every line ends with a line feed. */
export const characterText = (raw: Wire): string => decode(lineEnds(raw))

/** Decodes the content of a CDATA section. */
export const cdataText = (raw: Wire): string => toText(lineEnds(raw))

const lineEnds = (raw: Wire): Wire => (raw.includes('\r') ? wire(raw.replace(/\r\n?/g, '\n')) : raw)

const scratch = Buffer.allocUnsafeSlow(16_384)

/**
 * Copies wire text out of the chunk it was sliced from.
 * V8 keeps a whole parent string alive for a slice, so whatever waits longer than a turn of the loop is copied first.
 */
export const detach = (encoded: Wire): Wire => {
  if (encoded.length > scratch.length) return wire(Buffer.from(encoded, 'latin1').toString('latin1'))
  return wire(scratch.toString('latin1', 0, scratch.write(encoded, 0, 'latin1')))
}
