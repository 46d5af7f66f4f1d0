/**
 * Wire text: a string whose char codes are the UTF-8 bytes on the socket (what `latin1` decoding of those bytes gives).
 * Payloads travel through the server in this form untouched; text that code reads is decoded where it is read.
 */
declare const wireBrand: unique symbol
export type Wire = string & { readonly [wireBrand]: true }

const NON_ASCII = /[\x80-\uffff]/
const NEEDS_ESCAPE = /[&<>'"\t\n\r]/

/** Marks a string literal or an already encoded string as wire text. The caller vouches that it is UTF-8 bytes as latin1. */
export const wire = (encoded: string): Wire => encoded as Wire

/** Decodes wire bytes to ordinary text; entities are left as they stand. */
export const toText = (encoded: Wire): string => (NON_ASCII.test(encoded) ? Buffer.from(encoded, 'latin1').toString('utf8') : encoded)

/** Encodes ordinary text to wire bytes, without escaping. */
export const toWire = (text: string): Wire =>
  (NON_ASCII.test(text) ? Buffer.from(text, 'utf8').latin1Slice() : text) as Wire

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

/** Encodes text for an attribute value inside either kind of quote. */
export const escapeAttribute = (text: string): Wire =>
  toWire(NEEDS_ESCAPE.test(text) ? text.replace(/[&<>'"\t\n\r]/g, (c) => ESCAPES[c] ?? c) : text)

/** Encodes text for element content. */
export const escapeText = (text: string): Wire =>
  toWire(NEEDS_ESCAPE.test(text) ? text.replace(/[&<>\r]/g, (c) => ESCAPES[c] ?? c) : text)

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** Decodes an attribute value or character data, already checked by the tokenizer, to ordinary text. */
export const unescape = (encoded: Wire): string => {
  const text = toText(encoded)
  if (!text.includes('&')) return text
  return text.replace(/&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(\w+));/g, (_, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? ''
    return String.fromCodePoint(hex === undefined ? Number.parseInt(decimal ?? '', 10) : Number.parseInt(hex, 16))
  })
}

const scratch = Buffer.allocUnsafeSlow(16_384)

/**
 * Copies wire text out of the chunk it was sliced from.
 * V8 keeps a whole parent string alive for a slice, so whatever waits longer than a turn of the loop is copied first.
 */
export const detach = (encoded: Wire): Wire => {
  if (encoded.length > scratch.length) return Buffer.from(encoded, 'latin1').latin1Slice() as Wire
  return scratch.latin1Slice(0, scratch.latin1Write(encoded, 0)) as Wire
}
