import { pbkdf2 } from 'node:crypto'
import bcrypt from 'bcrypt'
import fc from 'fast-check'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { type Accounts, accountJid } from '#server/core/accounts.ts'
import { DerivationQueue } from '#server/core/derivation-queue.ts'
import { memoryAccounts } from '#server/testing/memory-accounts.ts'
import type { SaslEnvironment } from './exchange.ts'
import { plain } from './plain.ts'

vi.mock('node:crypto', async (importOriginal) => {
  const crypto = await importOriginal<typeof import('node:crypto')>()
  return { ...crypto, pbkdf2: vi.fn(crypto.pbkdf2) }
})

let accounts: Accounts
const jidOf = (name: string) => {
  const jid = accountJid(name, 'verona.example')
  if (jid === undefined) throw new Error(`no account can be called ${name}`)
  return jid
}
const juliet = jidOf('juliet')

const exchange = (extra: Partial<SaslEnvironment> = {}) =>
  plain.start({ domain: 'verona.example', accounts, tls: undefined, offered: ['PLAIN'], bindings: [], ...extra })
const attempt = (message: string, extra?: Partial<SaslEnvironment>) => exchange(extra).step(Buffer.from(message))
const refused = (condition: string) => ({ kind: 'failure', condition })

beforeEach(async () => {
  ;({ accounts } = await memoryAccounts())
  await accounts.create(juliet, 'wherefore')
})

describe('RFC 4616: PLAIN', () => {
  test('§2: the right password succeeds, with or without the own authorization identity', async () => {
    const success = { kind: 'success', account: juliet, data: undefined }
    expect(await attempt('\0juliet\0wherefore')).toEqual(success)
    expect(await attempt('\0Juliet\0wherefore')).toEqual(success)
    expect(await attempt('juliet@verona.example\0juliet\0wherefore')).toEqual(success)
    expect(await attempt('Juliet@Verona.example\0juliet\0wherefore')).toEqual(success)
  })

  test('RFC 6120 §6.5.7: nobody may act for another, nor name a resource', async () => {
    for (const authzid of ['romeo@verona.example', 'juliet', 'juliet@verona.example/balcony', '@', 'juliet@padua.example']) {
      expect(await attempt(`${authzid}\0juliet\0wherefore`)).toEqual(refused('invalid-authzid'))
    }
  })

  test('RFC 6120 §6.5.10: a wrong password, an unknown account and a name that no account can have get the same answer', async () => {
    expect(await attempt('\0juliet\0rose')).toEqual(refused('not-authorized'))
    expect(await attempt('\0romeo\0rose')).toEqual(refused('not-authorized'))
    expect(await attempt('\0juliet@verona.example\0wherefore')).toEqual(refused('not-authorized'))
  })

  test('an unknown account costs the same derivation as a wrong password', async () => {
    const derivations: unknown[] = []
    for (const name of ['juliet', 'romeo']) {
      vi.mocked(pbkdf2).mockClear()
      await attempt(`\0${name}\0rose`)
      derivations.push(
        vi.mocked(pbkdf2).mock.calls.map(([password, , iterations, bytes, hash]) => [password, iterations, bytes, hash]),
      )
    }
    expect(derivations[0]).toEqual([['rose', 4096, 64, 'sha512']])
    expect(derivations[1]).toEqual(derivations[0])
  })

  test('RFC 6120 §6.5.2: a disabled account is told so after the right password only', async () => {
    await accounts.setDisabled(juliet, true)
    expect(await attempt('\0juliet\0wherefore')).toEqual(refused('account-disabled'))
    expect(await attempt('\0juliet\0rose')).toEqual(refused('not-authorized'))
  })

  test('an account with a bcrypt hash logs in and has SCRAM keys from then on', async () => {
    await accounts.importBcrypt(jidOf('romeo'), await bcrypt.hash('rose', 4))
    expect(await attempt('\0romeo\0wrong')).toEqual(refused('not-authorized'))
    expect(await attempt('\0romeo\0rose')).toMatchObject({ kind: 'success' })
    const account = await accounts.get(jidOf('romeo'))
    expect(account?.credentials.bcrypt).toBeUndefined()
    expect(Object.keys(account?.credentials.scram ?? {})).toHaveLength(3)
  })

  test('RFC 6120 §6.5.11: a flood of passwords is refused beyond what can be checked soon', async () => {
    const { accounts: few } = await memoryAccounts({ derivations: new DerivationQueue({ maxRunning: 1, maxWaiting: 1 }) })
    const outcomes = await Promise.all(['a', 'b', 'c', 'd'].map((password) => attempt(`\0romeo\0${password}`, { accounts: few })))
    expect(outcomes).toEqual([
      refused('not-authorized'),
      refused('not-authorized'),
      refused('temporary-auth-failure'),
      refused('temporary-auth-failure'),
    ])
  })

  test('an account that is throttled is refused before and after the check, even with the right password', async () => {
    const admits = vi.fn(() => false)
    expect(await attempt('\0juliet\0wherefore', { admits })).toEqual(refused('temporary-auth-failure'))
    expect(admits).toHaveBeenCalledExactlyOnceWith(juliet)
    let asked = 0
    expect(await attempt('\0juliet\0wherefore', { admits: () => ++asked === 1 })).toEqual(refused('temporary-auth-failure'))
  })

  test('an exchange says whom the client claims to be, and is over after one message', async () => {
    const once = exchange()
    expect(once.claimed).toBeUndefined()
    await once.step(Buffer.from('\0romeo\0rose'))
    expect(once.claimed).toBe('romeo@verona.example')
    expect(await once.step(Buffer.from('\0juliet\0wherefore'))).toEqual(refused('malformed-request'))
  })

  test('RFC 6120 §6.5.8: anything else is malformed', async () => {
    for (const message of [
      '',
      '\0',
      '\0\0',
      '\0juliet',
      '\0juliet\0',
      '\0\0wherefore',
      '\0juliet\0where\0fore',
      'x'.repeat(9_000),
    ]) {
      expect(await attempt(message)).toEqual(refused('malformed-request'))
    }
    expect(await exchange().step(Buffer.from([0, 0xc3, 0x28, 0, 0x61]))).toEqual(refused('malformed-request'))
  })

  test('whatever is sent, the exchange answers with a failure and throws nothing', async () => {
    const part = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('juliet', '', 'juliet@verona.example', '\0', '\ud800'))
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.array(part, { maxLength: 5 }).map((parts) => Buffer.from(parts.join('\0'))),
    )
    await fc.assert(
      fc.asyncProperty(message, async (bytes) => {
        expect(await exchange().step(bytes)).toMatchObject({ kind: 'failure' })
      }),
      { numRuns: 300 },
    )
  })
})
