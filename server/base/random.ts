import { randomBytes, randomFillSync, randomInt, randomUUID } from 'node:crypto'

/** A call to the generator costs as much as hundreds of bytes from it, so small draws share one. */
const POOL_BYTES = 4_096
const LARGEST_SHARE = 128
const pool = Buffer.alloc(POOL_BYTES)
let used = POOL_BYTES

const ID_BYTES = 12

/** Takes so many bytes of the pool, gives what is made of them, and wipes them: they may be a secret. */
const draw = <T>(count: number, make: (from: number, to: number) => T): T => {
  if (used + count > POOL_BYTES) {
    randomFillSync(pool)
    used = 0
  }
  const from = used
  used += count
  const made = make(from, used)
  for (let at = from; at < used; at++) pool[at] = 0
  return made
}

const idOf = (from: number, to: number): string => pool.toString('base64url', from, to)
const octetsOf = (from: number, to: number): Buffer => Buffer.from(pool.subarray(from, to))

/** A new identifier with 96 random bits, safe in XML, URLs and JID resources. */
export const newId = (): string => draw(ID_BYTES, idOf)

/** Random bytes for nonces, salts and tokens. */
export const randomOctets = (count: number): Buffer => (count > LARGEST_SHARE ? randomBytes(count) : draw(count, octetsOf))

/** A random integer below the limit. */
export const randomBelow = (limit: number): number => randomInt(limit)

export const newUuid = (): string => randomUUID()
