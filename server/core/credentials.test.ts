import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deriveCredentials, deriveKeys, passwordMatches, preparePassword, proofMatches, scramHashes } from './credentials.ts'

describe('preparePassword', () => {
  test('RFC 5802 §2.2: a password is prepared by SASLprep', () => {
    expect(preparePassword('I\u00adX')).toBe('IX')
    expect(preparePassword('\u2168')).toBe('IX')
  })

  test('RFC 8265 §4: spaces and case are kept', () => {
    expect(preparePassword(' Wherefore Art ')).toBe(' Wherefore Art ')
  })

  test('an empty password, one of nothing but ignored characters, and one with control characters are none', () => {
    expect(preparePassword('')).toBeUndefined()
    expect(preparePassword('\u00ad')).toBeUndefined()
    expect(preparePassword('\u0007')).toBeUndefined()
  })

  test('a password has at most 1023 bytes', () => {
    expect(preparePassword('a'.repeat(1023))).toHaveLength(1023)
    expect(preparePassword('a'.repeat(1024))).toBeUndefined()
    expect(preparePassword('é'.repeat(512))).toBeUndefined()
    expect(preparePassword('é'.repeat(511))).toHaveLength(511)
  })
})

describe('keys', () => {
  test('credentials hold keys for every hash, each with its own salt, and only the password matches them', async () => {
    const { scram, bcrypt } = await deriveCredentials('pencil', { iterations: 4096 })
    expect(bcrypt).toBeUndefined()
    expect(new Set(scramHashes.map((hash) => scram[hash]?.salt)).size).toBe(3)
    for (const hash of scramHashes) {
      const keys = scram[hash]
      if (keys === undefined) throw new Error(`no keys for ${hash}`)
      expect(keys.iterations).toBe(4096)
      expect(await passwordMatches(hash, keys, 'pencil')).toBe(true)
      expect(await passwordMatches(hash, keys, 'Pencil')).toBe(false)
    }
  })

  test('keys that are there already are kept', async () => {
    const old = await deriveKeys('SHA-1', 'pencil', Buffer.from('QSXCR+Q6sek8bf92', 'base64'), 4096)
    const { scram } = await deriveCredentials('pencil', { iterations: 5000, have: { 'SHA-1': old } })
    expect(scram['SHA-1']).toEqual(old)
    expect(scram['SHA-256']?.iterations).toBe(5000)
  })

  test('a proof of any length is compared without an exception', async () => {
    const keys = await deriveKeys('SHA-256', 'pencil', Buffer.from('salt'), 4096)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.string(), (proof, authMessage) => {
        expect(proofMatches('SHA-256', keys, authMessage, Buffer.from(proof))).toBe(false)
      }),
    )
  })
})
