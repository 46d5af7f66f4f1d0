import { createHmac, createSecretKey, hash as digest, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { randomOctets } from '#server/base/random.ts'
import { opaqueString, saslPrep } from '#stanzas/prep.ts'
import type { Credentials, ScramHash, ScramKeys } from '#storage/shapes.ts'

const pbkdf2Async = promisify(pbkdf2)

/** The hash functions of SCRAM (RFC 5802, RFC 7677), strongest first; an account's keys are derived for each of them. */
export const scramHashes = ['SHA-512', 'SHA-256', 'SHA-1'] as const satisfies readonly ScramHash[]

/** What `node:crypto` calls a hash, and its length. */
export const hashFacts: Readonly<Record<ScramHash, { readonly name: 'sha1' | 'sha256' | 'sha512'; readonly bytes: number }>> = {
  'SHA-1': { name: 'sha1', bytes: 20 },
  'SHA-256': { name: 'sha256', bytes: 32 },
  'SHA-512': { name: 'sha512', bytes: 64 },
}

/**
 * How often a password is hashed. RFC 7677 §4 asks for 4096 at least and for more where clients can bear it; phones derive 10,000 rounds of SHA-512 in
 * some tens of milliseconds, once per password. The server pays at creation and at PLAIN logins only.
 */
export const DEFAULT_ITERATIONS = 10_000

/** RFC 5802 leaves the length open; 16 bytes never repeat by chance. */
export const SALT_BYTES = 16

/** RFC 8265 sets no limit; this is the one that RFC 7622 sets for every part of a JID, in bytes of UTF-8. */
export const MAX_PASSWORD_BYTES = 1023

/**
 * Prepares a password as both sides must before they hash it; `undefined` when it is empty, too long or not allowed. RFC 5802 §2.2 says SASLprep, and
 * clients do that; what it refuses but OpaqueString (RFC 8265 §4.2) allows is still a password.
 */
export const preparePassword = (text: string): string | undefined => {
  if (text.length > MAX_PASSWORD_BYTES) return undefined
  const prepared = saslPrep(text) ?? opaqueString(text)
  return prepared === undefined || prepared === '' || Buffer.byteLength(prepared) > MAX_PASSWORD_BYTES ? undefined : prepared
}

/** HMAC with one of SCRAM's hashes (RFC 5802 §2.2). A key object makes it a third of the time that bytes take: 3 µs instead of 10. */
export const hmac = (hash: ScramHash, key: Buffer, text: string): Buffer =>
  createHmac(hashFacts[hash].name, createSecretKey(key)).update(text).digest()

const storedKeyOf = (hash: ScramHash, clientKey: Buffer): Buffer => digest(hashFacts[hash].name, clientKey, 'buffer')

/** Derives the keys that SCRAM stores (RFC 5802 §3) from a prepared password, in the thread pool. */
export const deriveKeys = async (hash: ScramHash, password: string, salt: Buffer, iterations: number): Promise<ScramKeys> => {
  const { name, bytes } = hashFacts[hash]
  return keysFrom(hash, await pbkdf2Async(password, salt, iterations, bytes, name), salt, iterations)
}

/** The keys that follow from a password that has been salted and hashed (RFC 5802 §3). */
export const keysFrom = (hash: ScramHash, salted: Buffer, salt: Buffer, iterations: number): ScramKeys => ({
  salt: salt.toString('base64'),
  iterations,
  storedKey: storedKeyOf(hash, hmac(hash, salted, 'Client Key')).toString('base64'),
  serverKey: hmac(hash, salted, 'Server Key').toString('base64'),
})

/** Derives keys for every hash, except those that are there already, from a prepared password; one derivation at a time. */
export const deriveCredentials = async (
  password: string,
  options: { readonly iterations: number; readonly have?: Credentials['scram'] },
): Promise<Credentials> => {
  const scram: Partial<Record<ScramHash, ScramKeys>> = { ...options.have }
  for (const hash of scramHashes) {
    scram[hash] ??= await deriveKeys(hash, password, randomOctets(SALT_BYTES), options.iterations)
  }
  return { scram }
}

/** Whether a prepared password leads to these keys; derives in the thread pool and compares in constant time. */
export const passwordMatches = async (hash: ScramHash, keys: ScramKeys, password: string): Promise<boolean> => {
  const derived = await deriveKeys(hash, password, Buffer.from(keys.salt, 'base64'), keys.iterations)
  return sameBytes(Buffer.from(derived.storedKey, 'base64'), Buffer.from(keys.storedKey, 'base64'))
}

/** Whether a SCRAM client's proof shows that it knows the password behind these keys (RFC 5802 §3). */
export const proofMatches = (hash: ScramHash, keys: ScramKeys, authMessage: string, proof: Buffer): boolean => {
  const storedKey = Buffer.from(keys.storedKey, 'base64')
  const clientKey = hmac(hash, storedKey, authMessage)
  for (let at = 0; at < clientKey.length; at += 1) clientKey[at] = (clientKey[at] ?? 0) ^ (proof[at] ?? 0)
  return proof.length === clientKey.length && sameBytes(storedKeyOf(hash, clientKey), storedKey)
}

/** Compares in a time that depends on the length alone. */
export const sameBytes = (one: Buffer, other: Buffer): boolean => one.length === other.length && timingSafeEqual(one, other)
