import type { LogId } from '../shapes.ts'

/**
 * Every `_id` is a text that begins with whom it belongs to: `romeo@verona.example roster/contacts juliet@verona.example`. So what belongs together lies
 * together, in the one index that each collection has anyway, and a range of it is found on one shard when `_id` is the shard key.
 */

/** A part of an `_id` that another part follows. Bare JIDs and names of stores hold neither character, so they stay as they are. */
export const part = (text: string): string =>
  text.includes(' ') || text.includes('%') ? text.replaceAll('%', '%25').replaceAll(' ', '%20') : text

/** The least text that comes after all that begin with this one, by code points; what is behind the last code point has no such text. */
export const after = (prefix: string): string => {
  const points = [...prefix]
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = (last.codePointAt(0) ?? 0) + 1
    if (point <= 0x10ffff) return points.join('') + String.fromCodePoint(point === 0xd800 ? 0xe000 : point)
  }
  return '\u{10ffff}'.repeat(4)
}

/** All that begin with this. */
export const beginningWith = (prefix: string): { readonly $gte: string; readonly $lt: string } => ({
  $gte: prefix,
  $lt: after(prefix),
})

/** A safe integer has 53 bits. */
const ID_DIGITS = 14

/** An id as text of one length, so that texts have the order of ids. */
export const idText = (id: LogId): string => id.toString(16).padStart(ID_DIGITS, '0')

/** The id at the end of an entry's key. */
export const idOf = (key: string): LogId => Number.parseInt(key.slice(-ID_DIGITS), 16)
