import { randomBytes, randomFillSync, randomInt, randomUUID } from 'node:crypto'

/** A call to the generator costs as much as hundreds of bytes from it, so small draws share one. */
const POOL_BYTES = 4_096
const LARGEST_SHARE = 128
const pool = Buffer.alloc(POOL_BYTES)
let used = POOL_BYTES

const draw = (count: number): Buffer => {
  if (count > LARGEST_SHARE) return randomBytes(count)
  if (used + count > POOL_BYTES) {
    randomFillSync(pool)
    used = 0
  }
  const end = used + count
  const octets = Buffer.from(pool.subarray(used, end))
  // What was given out may be a secret.
  pool.fill(0, used, end)
  used = end
  return octets
}

/** A new identifier with 96 random bits, safe in XML, URLs and JID resources. */
export const newId = (): string => draw(12).toString('base64url')

/** Random bytes for nonces, salts and tokens. */
export const randomOctets = (count: number): Buffer => draw(count)

/** A random integer below the limit. */
export const randomBelow = (limit: number): number => randomInt(limit)

export const newUuid = (): string => randomUUID()
