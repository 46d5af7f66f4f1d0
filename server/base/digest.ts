import { createHash } from 'node:crypto'

/** The hash of a text's UTF-8 bytes in base64; `algorithm` is a name that Node knows. */
export const digest = (algorithm: string, text: string): string => createHash(algorithm).update(text, 'utf8').digest('base64')

/** The hash of bytes in lower-case hexadecimal digits. */
export const hexDigest = (algorithm: string, bytes: Uint8Array): string => createHash(algorithm).update(bytes).digest('hex')
