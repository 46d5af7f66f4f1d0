import type { Posting } from './postings.ts'
import { FLAG_INCOMING, FLAG_TEXT, FLAG_TRANSIENT } from './record.ts'

/**
 * What the index by peer packs of an entry: u64, little endian, of its id and, in the eleven bits that no safe integer uses, the flags that stay as they are
 * for as long as it lives.
 */
export const ENTRY_BYTES = 8
const LASTING = FLAG_INCOMING | FLAG_TRANSIENT | FLAG_TEXT
const WORD = 2 ** 32
/** Bits of an id in the upper word. */
const UPPER_BITS = 21
const UPPER = 2 ** UPPER_BITS - 1

export const packEntries = (entries: readonly Pick<Posting, 'id' | 'flags'>[]): Buffer => {
  const packed = Buffer.allocUnsafe(entries.length * ENTRY_BYTES)
  for (const [index, { id, flags }] of entries.entries()) {
    packed.writeUInt32LE(id % WORD, index * ENTRY_BYTES)
    packed.writeUInt32LE(Math.floor(id / WORD) | ((flags & LASTING) << UPPER_BITS), index * ENTRY_BYTES + 4)
  }
  return packed
}

/** The id of the packed entry that begins here. */
export const idAt = (packed: Buffer, at: number): number => (packed.readUInt32LE(at + 4) & UPPER) * WORD + packed.readUInt32LE(at)

/** Its flags, but for that of being pending. */
export const flagsAt = (packed: Buffer, at: number): number => packed.readUInt32LE(at + 4) >>> UPPER_BITS

/** Where the entry of this id begins, -1 when it is not there. */
export const positionOf = (packed: Buffer, id: number): number => {
  for (let at = 0; at < packed.length; at += ENTRY_BYTES) {
    if (idAt(packed, at) === id) return at
  }
  return -1
}
