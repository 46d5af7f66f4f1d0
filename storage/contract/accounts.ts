import { expect, test } from 'vitest'
import type { Account, Credentials } from '../shapes.ts'
import { jid, juliet, onStage, romeo, type Subject, testKept } from './subject.ts'

const credentials = (salt: string): Credentials => ({
  scram: { 'SHA-256': { salt, iterations: 4096, storedKey: 'c3RvcmVk', serverKey: 'c2VydmVy' } },
})
const account = (bare: Account['jid'], change: Partial<Account> = {}): Account => ({
  jid: bare,
  createdAtMs: 1_700_000_000_000,
  credentials: credentials('c2FsdA=='),
  isDisabled: false,
  ...change,
})

/** Proves that a driver keeps accounts as the shape promises. */
export const accountsContract = (subject: Subject): void =>
  onStage(subject, 'accounts', (stage) => {
    test('an account that was created is found as it was', async () => {
      const { accounts } = stage.driver
      const imported = account(juliet, { credentials: { scram: {}, bcrypt: '$2b$10$x' }, isDisabled: true })
      expect(await accounts.create(account(romeo))).toBe(true)
      expect(await accounts.create(imported)).toBe(true)
      expect(await accounts.get(romeo)).toEqual(account(romeo))
      expect(await accounts.get(juliet)).toEqual(imported)
      expect(await accounts.get(jid('nobody@verona.example'))).toBeUndefined()
    })

    test('a second account of the same JID is refused and changes nothing, also when both are asked for at once', async () => {
      const { accounts } = stage.driver
      const made = await Promise.all([accounts.create(account(romeo)), accounts.create(account(romeo, { isDisabled: true }))])
      expect(made).toEqual([true, false])
      expect(await accounts.get(romeo)).toEqual(account(romeo))
    })

    test('an update replaces what it names and nothing else', async () => {
      const { accounts } = stage.driver
      await accounts.create(account(romeo))
      expect(await accounts.update(romeo, { isDisabled: true })).toBe(true)
      expect(await accounts.get(romeo)).toEqual(account(romeo, { isDisabled: true }))
      expect(await accounts.update(romeo, { credentials: credentials('bmV3') })).toBe(true)
      expect(await accounts.get(romeo)).toEqual(account(romeo, { isDisabled: true, credentials: credentials('bmV3') }))
      expect(await accounts.update(juliet, { isDisabled: true })).toBe(false)
      expect(await accounts.get(juliet)).toBeUndefined()
    })

    test('a deleted account is gone once', async () => {
      const { accounts } = stage.driver
      await accounts.create(account(romeo))
      expect(await accounts.delete(romeo)).toBe(true)
      expect(await accounts.delete(romeo)).toBe(false)
      expect(await accounts.get(romeo)).toBeUndefined()
      expect(await accounts.create(account(romeo))).toBe(true)
    })

    test('a domain lists its own accounts in JID order, page by page', async () => {
      const { accounts } = stage.driver
      const names = ['b', 'a', 'é', '\u{1f339}', '\uffee'].map((localpart) => jid(`${localpart}@verona.example`))
      for (const name of names) await accounts.create(account(name))
      await accounts.create(account(jid('a@mantua.example')))
      await accounts.create(account(jid('verona.example')))

      const ordered = [
        'a@verona.example',
        'b@verona.example',
        'verona.example',
        'é@verona.example',
        '\uffee@verona.example',
        '\u{1f339}@verona.example',
      ]
      const all = await accounts.list('verona.example')
      expect(all.map((each) => each.jid)).toEqual(ordered)
      const page = await accounts.list('verona.example', { after: jid('a@verona.example'), limit: 2 })
      expect(page.map((each) => each.jid)).toEqual(ordered.slice(1, 3))
      expect(await accounts.list('verona.example', { limit: 0 })).toEqual([])
      expect(await accounts.count('verona.example')).toBe(6)
      expect(await accounts.count('mantua.example')).toBe(1)
      expect(await accounts.count('padua.example')).toBe(0)
    })

    testKept(subject)('accounts are there after the database was closed and opened', async () => {
      await stage.driver.accounts.create(account(romeo))
      const { accounts } = await stage.reopen()
      expect(await accounts.get(romeo)).toEqual(account(romeo))
    })
  })
