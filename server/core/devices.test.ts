import { expect, test } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import type { Account } from '#storage/shapes.ts'
import { deriveCredentials } from './credentials.ts'
import { type Device, type DeviceLogin, Devices, type Token } from './devices.ts'

const DAY_MS = 86_400_000
const PHONE = 'phone'

const setUp = async () => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const devices = new Devices({
    storage: driver.expiring<Device>('devices'),
    clock,
    log: nullLog,
    tokenLifetimeMs: 30 * DAY_MS,
    memoryMs: 90 * DAY_MS,
    maxPerAccount: 5,
  })
  const credentials = await deriveCredentials('secret', { iterations: 4096 })
  const account: Account = { jid: 'juliet@verona.example' as BareJid, createdAtMs: 0, credentials, isDisabled: false }
  const logIn = (login: Partial<DeviceLogin>) =>
    devices.loggedIn(account, PHONE, { software: undefined, device: undefined, ...login })
  const token = (await logIn({ wants: 'HT-SHA-256-EXPR' })) as Token
  return { devices, account, logIn, token }
}

test('XEP-0484 §3.4: of two logins with one count that were proved at the same time, one is let in', async () => {
  const { logIn, token } = await setUp()
  expect(await logIn({ token, count: 1 })).toBeUndefined()
  expect(await logIn({ token, count: 1 })).toBe('revoked')
  expect(await logIn({ token, count: 2 })).toBeUndefined()
})

test('XEP-0484 §3.6: a token that was taken back while a login with it was under way does not come back', async () => {
  const { devices, account, logIn, token } = await setUp()
  expect(await logIn({ token, invalidates: true })).toBeUndefined()
  expect(await logIn({ token })).toBe('revoked')
  expect((await devices.list(account.jid))[0]?.current).toBeUndefined()
})

test('XEP-0494 §3.2: nor does a device that was revoked then', async () => {
  const { devices, account, logIn, token } = await setUp()
  await devices.revoke(account.jid, PHONE)
  expect(await logIn({ token })).toBe('revoked')
  expect(await devices.list(account.jid)).toEqual([])
})
