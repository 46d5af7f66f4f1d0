import bcrypt from 'bcrypt'
import { describe, expect, test, vi } from 'vitest'
import type { Logger } from '#server/base/log.ts'
import { memoryAccounts } from '#server/testing/memory-accounts.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Accounts as Storage } from '#storage/shapes.ts'
import { accountJid } from './accounts.ts'
import { DerivationQueue } from './derivation-queue.ts'

const jidOf = (name: string): BareJid => {
  const jid = accountJid(name, 'verona.example')
  if (jid === undefined) throw new Error(`no account can be called ${name}`)
  return jid
}
const juliet = jidOf('juliet')
const romeo = jidOf('romeo')

describe('accountJid', () => {
  test('RFC 7622 §3.3: a name is prepared; the empty one and those that no localpart may be are none', () => {
    expect(accountJid('Juliet', 'verona.example')).toBe('juliet@verona.example')
    expect(accountJid('', 'verona.example')).toBeUndefined()
    expect(accountJid('juliet@verona.example', 'verona.example')).toBeUndefined()
    expect(accountJid('juliet capulet', 'verona.example')).toBeUndefined()
  })
})

describe('creating', () => {
  test('an account is made once, with keys for every hash and no trace of the password', async () => {
    const { accounts, storage } = await memoryAccounts()
    expect(await accounts.create(juliet, 'wherefore')).toBe('created')
    expect(await accounts.create(juliet, 'another')).toBe('exists')
    const account = await storage.get(juliet)
    expect(Object.keys(account?.credentials.scram ?? {}).sort()).toEqual(['SHA-1', 'SHA-256', 'SHA-512'])
    expect(JSON.stringify(account)).not.toContain('wherefore')
    expect(await accounts.count('verona.example')).toBe(1)
    expect((await accounts.list('verona.example')).map(({ jid }) => jid)).toEqual([juliet])
  })

  test('of two who ask for a name at once, one gets it', async () => {
    const { accounts } = await memoryAccounts()
    expect((await Promise.all([accounts.create(juliet, 'one'), accounts.create(juliet, 'two')])).sort()).toEqual([
      'created',
      'exists',
    ])
  })

  test('a domain is no account, and an empty password none', async () => {
    const { accounts } = await memoryAccounts()
    const domain = juliet.slice(juliet.indexOf('@') + 1) as BareJid
    expect(await accounts.create(domain, 'wherefore')).toBe('invalid-jid')
    expect(await accounts.importBcrypt(domain, await bcrypt.hash('wherefore', 4))).toBe('invalid-jid')
    expect(await accounts.create(juliet, '')).toBe('invalid-password')
    expect(await accounts.setPassword(juliet, '')).toBe('invalid-password')
  })

  test('when too many passwords wait, the account is not made', async () => {
    const { accounts, storage } = await memoryAccounts({ derivations: new DerivationQueue({ maxRunning: 0, maxWaiting: 0 }) })
    expect(await accounts.create(juliet, 'wherefore')).toBe('busy')
    expect(await accounts.setPassword(juliet, 'wherefore')).toBe('busy')
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toEqual({ kind: 'busy' })
    expect(await storage.get(juliet)).toBeUndefined()
  })
})

describe('existence', () => {
  test('is known without a promise once it was asked, and is right at once after creation and deletion', async () => {
    const { accounts, storage } = await memoryAccounts()
    const get = vi.spyOn(storage, 'get')
    expect(await accounts.exists(juliet)).toBe(false)
    expect(accounts.exists(juliet)).toBe(false)
    await accounts.create(juliet, 'wherefore')
    expect(await accounts.exists(juliet)).toBe(true)
    expect(accounts.exists(juliet)).toBe(true)
    expect(get).toHaveBeenCalledTimes(2)
    expect(await accounts.delete(juliet)).toBe(true)
    expect(await accounts.exists(juliet)).toBe(false)
    expect(await accounts.delete(juliet)).toBe(false)
  })

  test('many who ask at once cost one read, and a read that a change overtook is not remembered', async () => {
    const { storage } = await memoryAccounts()
    const answers: (() => void)[] = []
    const slow: Storage = {
      ...storage,
      get: vi.fn(async (jid: BareJid) => {
        const account = await storage.get(jid)
        await new Promise<void>((resolve) => answers.push(resolve))
        return account
      }),
    }
    const { accounts } = await memoryAccounts({ storage: slow })
    const asked = [accounts.exists(juliet), accounts.exists(juliet), accounts.get(juliet)]
    await vi.waitUntil(() => answers.length === 1)
    expect(slow.get).toHaveBeenCalledTimes(1)
    expect(await accounts.importBcrypt(juliet, await bcrypt.hash('wherefore', 4))).toBe('created')
    answers[0]?.()
    expect(await Promise.all(asked)).toEqual([false, false, undefined])
    const again = accounts.exists(juliet)
    await vi.waitUntil(() => answers.length === 2)
    for (const answer of answers) answer()
    expect(await again).toBe(true)
  })

  test('a read that fails is tried again by the next who asks', async () => {
    const { storage } = await memoryAccounts()
    const get = vi.spyOn(storage, 'get').mockRejectedValueOnce(new Error('disk on fire'))
    const { accounts } = await memoryAccounts({ storage })
    await expect(accounts.exists(juliet)).rejects.toThrow('disk on fire')
    expect(await accounts.exists(juliet)).toBe(false)
    expect(get).toHaveBeenCalledTimes(2)
  })

  test('what another process did is seen once the account is forgotten', async () => {
    const { accounts, storage } = await memoryAccounts()
    await accounts.create(juliet, 'wherefore')
    await accounts.get(juliet)
    await storage.delete(juliet)
    expect(accounts.exists(juliet)).toBe(true)
    accounts.forget(juliet)
    expect(await accounts.exists(juliet)).toBe(false)
  })
})

describe('passwords', () => {
  test('the right one is right, in any form that prepares to it; a wrong one and an unknown account look alike', async () => {
    const { accounts } = await memoryAccounts()
    await accounts.create(juliet, 'IX')
    expect(await accounts.verifyPassword(juliet, 'IX')).toMatchObject({ kind: 'right', account: { jid: juliet } })
    expect(await accounts.verifyPassword(juliet, '\u2168')).toMatchObject({ kind: 'right' })
    expect(await accounts.verifyPassword(juliet, 'X')).toEqual({ kind: 'wrong' })
    expect(await accounts.verifyPassword(romeo, 'IX')).toEqual({ kind: 'wrong' })
    expect(await accounts.verifyPassword(juliet, '')).toEqual({ kind: 'wrong' })
  })

  test('a new one replaces the old one at once', async () => {
    const { accounts } = await memoryAccounts()
    await accounts.create(juliet, 'wherefore')
    await accounts.get(juliet)
    expect(await accounts.setPassword(juliet, 'rose')).toBe('changed')
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toEqual({ kind: 'wrong' })
    expect(await accounts.verifyPassword(juliet, 'rose')).toMatchObject({ kind: 'right' })
    expect(await accounts.setPassword(romeo, 'rose')).toBe('no-account')
  })

  test('that an account is disabled is told to those alone who know its password', async () => {
    const { accounts } = await memoryAccounts()
    await accounts.create(juliet, 'wherefore')
    expect(await accounts.setDisabled(juliet, true)).toBe(true)
    expect(await accounts.verifyPassword(juliet, 'rose')).toEqual({ kind: 'wrong' })
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toEqual({ kind: 'disabled' })
    await accounts.setDisabled(juliet, false)
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toMatchObject({ kind: 'right' })
    expect(await accounts.setDisabled(romeo, true)).toBe(false)
  })

  test('made-up keys are the same every time, have the shape of true ones, and differ by account and hash', async () => {
    const { accounts } = await memoryAccounts()
    await accounts.create(juliet, 'wherefore')
    const made = await accounts.scramKeys(romeo, 'SHA-256')
    const real = await accounts.scramKeys(juliet, 'SHA-256')
    expect(made.account).toBeUndefined()
    expect(real.account?.jid).toBe(juliet)
    expect(await accounts.scramKeys(romeo, 'SHA-256')).toEqual(made)
    expect((await memoryAccounts()).accounts.scramKeys(romeo, 'SHA-256')).toBeInstanceOf(Promise)
    expect((await (await memoryAccounts()).accounts.scramKeys(romeo, 'SHA-256')).keys).toEqual(made.keys)
    expect((await accounts.scramKeys(romeo, 'SHA-1')).keys.salt).not.toBe(made.keys.salt)
    expect((await accounts.scramKeys(jidOf('tybalt'), 'SHA-256')).keys.salt).not.toBe(made.keys.salt)
    for (const part of ['salt', 'storedKey', 'serverKey'] as const) expect(made.keys[part]).toHaveLength(real.keys[part].length)
    expect(made.keys.iterations).toBe(real.keys.iterations)
  })
})

describe('accounts brought in with a bcrypt hash', () => {
  test('are upgraded to SCRAM keys by the first right password, and lose the hash', async () => {
    const { accounts, storage } = await memoryAccounts()
    expect(await accounts.importBcrypt(juliet, await bcrypt.hash('wherefore', 4))).toBe('created')
    expect(await accounts.importBcrypt(juliet, await bcrypt.hash('other', 4))).toBe('exists')
    expect(await accounts.verifyPassword(juliet, 'rose')).toEqual({ kind: 'wrong' })
    expect((await storage.get(juliet))?.credentials.bcrypt).toBeDefined()
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toMatchObject({ kind: 'right' })
    const { credentials } = (await storage.get(juliet)) ?? {}
    expect(Object.keys(credentials?.scram ?? {})).toHaveLength(3)
    expect(credentials?.bcrypt).toBeUndefined()
    expect((await accounts.scramKeys(juliet, 'SHA-1')).account).toBeDefined()
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toMatchObject({ kind: 'right' })
  })

  test('may have the $2y$ of PHP; what is no bcrypt hash, or costs minutes, is refused', async () => {
    const { accounts } = await memoryAccounts()
    const hash = await bcrypt.hash('wherefore', 4)
    expect(await accounts.importBcrypt(juliet, hash.replace('$2b$', '$2y$'))).toBe('created')
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toMatchObject({ kind: 'right' })
    for (const bad of ['', 'wherefore', hash.slice(1), `${hash}x`, hash.replace('$04$', '$31$'), hash.replace('$2b$', '$1$')]) {
      expect(await accounts.importBcrypt(romeo, bad)).toBe('invalid-hash')
    }
  })

  test('are not told from others by the time: once one was seen, every wrong password costs a comparison', async () => {
    const matches = vi.fn((password: string, hash: string) => bcrypt.compare(password, hash))
    const { accounts } = await memoryAccounts({ bcryptMatches: matches })
    await accounts.create(romeo, 'rose')
    await accounts.verifyPassword(romeo, 'wrong')
    expect(matches).not.toHaveBeenCalled()
    await accounts.importBcrypt(juliet, await bcrypt.hash('wherefore', 5))
    for (const jid of [juliet, romeo, jidOf('nobody')]) {
      matches.mockClear()
      expect(await accounts.verifyPassword(jid, 'wrong')).toEqual({ kind: 'wrong' })
      expect(matches.mock.calls.map(([, hash]) => hash.slice(0, 7))).toEqual(['$2b$05$'])
    }
    matches.mockClear()
    expect(await accounts.verifyPassword(romeo, 'rose')).toMatchObject({ kind: 'right' })
    expect(matches).not.toHaveBeenCalled()
  })

  test('keep the password that was set while the upgrade was under way', async () => {
    const { accounts, storage } = await memoryAccounts()
    await accounts.importBcrypt(juliet, await bcrypt.hash('wherefore', 4))
    const rose = { scram: {}, bcrypt: await bcrypt.hash('rose', 4) }
    const login = accounts.verifyPassword(juliet, 'wherefore')
    await accounts.get(juliet)
    await storage.update(juliet, { credentials: rose })
    await login
    expect(await accounts.verifyPassword(juliet, 'rose')).toMatchObject({ kind: 'right' })
  })

  test('log in even when the upgrade cannot be written', async () => {
    const warn = vi.fn<Logger['warn']>()
    const { storage } = await memoryAccounts()
    const quiet = () => undefined
    const log: Logger = { debug: quiet, info: quiet, warn, error: quiet, fatal: quiet, child: () => log }
    const { accounts } = await memoryAccounts({ storage, log })
    await accounts.importBcrypt(juliet, await bcrypt.hash('wherefore', 4))
    vi.spyOn(storage, 'update').mockRejectedValue(new Error('disk full'))
    expect(await accounts.verifyPassword(juliet, 'wherefore')).toMatchObject({ kind: 'right' })
    expect(warn).toHaveBeenCalledWith('credentials-upgrade-failed', expect.objectContaining({ account: juliet }))
  })
})

describe('events', () => {
  test('tell of creation, change and deletion; an upgrade changes nothing that anybody need know', async () => {
    const { accounts } = await memoryAccounts()
    const told: unknown[] = []
    accounts.on('created', (event) => void told.push(['created', event]))
    accounts.on('changed', (event) => void told.push(['changed', event]))
    const stop = accounts.on('deleted', (event) => void told.push(['deleted', event]))
    await accounts.importBcrypt(juliet, await bcrypt.hash('wherefore', 4))
    await accounts.verifyPassword(juliet, 'wherefore')
    await accounts.setPassword(juliet, 'rose')
    await accounts.setDisabled(juliet, true)
    await accounts.setDisabled(juliet, false)
    await accounts.delete(juliet)
    stop()
    await accounts.create(juliet, 'again')
    await accounts.delete(juliet)
    const account = juliet
    expect(told).toEqual([
      ['created', { account }],
      ['changed', { account, what: 'password' }],
      ['changed', { account, what: 'disabled' }],
      ['changed', { account, what: 'enabled' }],
      ['deleted', { account }],
      ['created', { account }],
    ])
  })

  test('are told of an account that is not there any more for anybody else', async () => {
    const { accounts } = await memoryAccounts()
    await accounts.create(juliet, 'wherefore')
    expect(await accounts.exists(juliet)).toBe(true)
    let isThere: unknown
    accounts.on('deleted', () => {
      isThere = accounts.exists(juliet)
    })
    await accounts.delete(juliet)
    expect(isThere).toBe(false)
    expect(await accounts.create(juliet, 'wherefore')).toBe('created')
    expect(await accounts.exists(juliet)).toBe(true)
  })

  test('are waited for, and a listener that fails is logged and stops neither the others nor the deletion', async () => {
    const error = vi.fn<Logger['error']>()
    const quiet = () => undefined
    const log: Logger = { debug: quiet, info: quiet, warn: quiet, error, fatal: quiet, child: () => log }
    const { accounts } = await memoryAccounts({ log })
    await accounts.create(juliet, 'wherefore')
    let isRosterGone = false
    accounts.on('deleted', () => {
      throw new Error('no vcard')
    })
    accounts.on('deleted', async () => {
      await Promise.resolve()
      isRosterGone = true
    })
    expect(await accounts.delete(juliet)).toBe(true)
    expect(isRosterGone).toBe(true)
    expect(error).toHaveBeenCalledWith('account-listener-failed', expect.objectContaining({ event: 'deleted', account: juliet }))
  })
})
