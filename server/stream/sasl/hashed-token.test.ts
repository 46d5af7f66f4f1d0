import fc from 'fast-check'
import { beforeEach, expect, test, vi } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { type Accounts, accountJid } from '#server/core/accounts.ts'
import { type Device, Devices } from '#server/core/devices.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { memoryAccounts } from '#server/testing/memory-accounts.ts'
import { PHONE, tokenAnswer, tokenProof } from '#server/testing/quick-client.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { tokenMechanisms } from './hashed-token.ts'
import type { SaslEnvironment, SaslExchange } from './mechanism.ts'

const juliet = accountJid('juliet', 'verona.example')
let accounts: Accounts
let devices: Devices
let token: string

const start = (extra: Partial<SaslEnvironment> = {}): SaslExchange => {
  const mechanism = tokenMechanisms.find(({ name }) => name === 'HT-SHA-256-NONE')
  if (mechanism === undefined) throw new Error('no mechanism')
  const fast = { devices, clientId: PHONE, count: undefined }
  return mechanism.start({ domain: 'verona.example', accounts, tls: undefined, offered: [], bindings: [], fast, ...extra })
}

beforeEach(async () => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  ;({ accounts } = await memoryAccounts({ storage: driver.accounts, clock }))
  devices = new Devices({
    storage: driver.expiring<Device>('test/devices'),
    clock,
    log: nullLog,
    tokenLifetimeMs: 1000,
    memoryMs: 1000,
    maxPerAccount: 10,
  })
  if (juliet === undefined) throw new Error('no account')
  await accounts.create(juliet, 'wherefore')
  const account = await accounts.get(juliet)
  if (account === undefined) throw new Error('no account')
  const id = Devices.idOf(juliet, PHONE)
  const issued = await devices.loggedIn(account, id, { software: undefined, device: undefined, wants: 'HT-SHA-256-NONE' })
  token = issued === 'revoked' ? '' : (issued?.secret ?? '')
})

test('draft-schmaus-kitten-sasl-ht §3: one message proves the client, and one the server', async () => {
  const outcome = await start().step(tokenProof('juliet', token))
  expect(outcome).toMatchObject({ kind: 'success', account: juliet, data: Buffer.from(tokenAnswer(token), 'base64') })
})

test('an exchange is over after its one message', async () => {
  const exchange = start()
  await exchange.step(tokenProof('juliet', token))
  expect(await exchange.step(tokenProof('juliet', token))).toEqual({ kind: 'failure', condition: 'malformed-request' })
})

test('an account that is held back is refused before the token is looked at, and again before the verdict', async () => {
  const admits = vi.fn().mockReturnValue(false)
  const busy = { kind: 'failure', condition: 'temporary-auth-failure' }
  expect(await start({ admits }).step(tokenProof('juliet', token))).toEqual(busy)
  admits.mockReturnValueOnce(true)
  expect(await start({ admits }).step(tokenProof('juliet', token))).toEqual(busy)
})

test('whatever is sent, nothing is thrown and nothing is proved', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      expect((await start().step(Buffer.from(bytes))).kind).toBe('failure')
    }),
  )
})

test('a right message with any bit turned proves nothing', async () => {
  const right = tokenProof('juliet', token)
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 8 * right.length - 1 }), async (bit) => {
      const wrong = Buffer.from(right)
      const at = bit >> 3
      wrong[at] = (wrong[at] ?? 0) ^ (1 << (bit & 7))
      const outcome = await start().step(wrong)
      // Capital letters are the same name (RFC 7622 §3.3).
      const isSameName = wrong.toString('utf8', 0, 6).toLowerCase() === 'juliet' && at < 6
      expect(outcome.kind).toBe(isSameName ? 'success' : 'failure')
    }),
  )
})
