import { expect } from 'vitest'
import { loadConfig } from '#server/base/config.ts'
import { conversation } from '#server/testing/conversation.ts'
import { byPassword, logsInQuickly, PHONE, wantsBinding, wantsToken } from '#server/testing/quick-client.ts'
import { failsWith } from '#server/testing/stream-end.ts'
import type { HostFacts } from './core/module.ts'
import { operationsOf } from './operations.ts'

const JULIET = 'juliet@verona.example'

conversation(
  'an operator sees the clients of an account, and puts one out',
  { carriers: ['memory'] },
  async ({ visit, connect, createAccount, server, settle }) => {
    await createAccount(JULIET)
    const config = loadConfig({ overrides: { domain: 'verona.example' }, modules: {} })
    const operations = operationsOf(server, config, { version: '0' } as HostFacts, true)
    const phone = await visit()
    await logsInQuickly(phone, byPassword('juliet', wantsBinding() + wantsToken(), PHONE))
    await phone.ignores()
    const old = await connect(`${JULIET}/old`)
    await settle()

    const [named, nameless] = await operations.listDevices(JULIET)
    expect(named).toMatchObject({ software: 'Balcony', device: 'Phone', isConnected: true, knowsPassword: true, hasToken: true })
    expect(nameless).toMatchObject({ isConnected: true, knowsPassword: true, hasToken: false })
    expect(await operations.revokeDevice(JULIET, named?.id ?? '')).toEqual({ knowsPassword: true })
    await failsWith(phone, 'not-authorized')
    await old.receivesNothing()

    await expect(operations.revokeDevice(JULIET, named?.id ?? '')).rejects.toThrow(`${JULIET} has no client`)
    await expect(operations.revokeDevice(JULIET, nameless?.id ?? '')).rejects.toThrow('a new password')
    await expect(operations.listDevices('nobody@verona.example')).rejects.toThrow('there is no such account')
  },
)
