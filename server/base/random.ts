import { randomBytes, randomInt, randomUUID } from 'node:crypto'

/** A new identifier with 96 random bits, safe in XML, URLs and JID resources. */
export const newId = (): string => randomBytes(12).toString('base64url')

/** Random bytes for nonces, salts and tokens. */
export const randomOctets = (count: number): Buffer => randomBytes(count)

/** A random integer below the limit. */
export const randomBelow = (limit: number): number => randomInt(limit)

export const newUuid = (): string => randomUUID()
