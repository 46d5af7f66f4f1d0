import { createHmac, hash } from 'node:crypto'

/** RFC 2104 §2: SHA-256 takes blocks of so many bytes, and so the key is padded to as many. */
const BLOCK_BYTES = 64
const HASH_BYTES = 32
/** Room for a word and the longest channel binding. */
const MAX_BYTES = 128
const inner = Buffer.alloc(BLOCK_BYTES + MAX_BYTES)
const outer = Buffer.alloc(BLOCK_BYTES + HASH_BYTES)

/**
 * The HMAC-SHA-256 of a word in ASCII and some bytes, by a key in ASCII. Two hashes of bytes that stand ready take a third of what Node's object for an HMAC takes, which is made
 * for one use and then collected. What is too long for that is left to such an object.
 */
export const shortHmac = (key: string, word: string, bytes: Buffer): Buffer => {
  const length = BLOCK_BYTES + word.length + bytes.length
  if (key.length > BLOCK_BYTES || length > inner.length) return createHmac('sha256', key).update(word).update(bytes).digest()
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const byte = at < key.length ? key.charCodeAt(at) : 0
    inner[at] = byte ^ 0x36
    outer[at] = byte ^ 0x5c
  }
  inner.write(word, BLOCK_BYTES, 'latin1')
  bytes.copy(inner, BLOCK_BYTES + word.length)
  outer.write(hash('sha256', inner.subarray(0, length), 'binary'), BLOCK_BYTES, 'latin1')
  return Buffer.from(hash('sha256', outer, 'binary'), 'latin1')
}
