import { expect } from 'vitest'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { conversation, xml } from '#server/testing/conversation.ts'
import type { BareJid } from '#stanzas/jid.ts'

const modules = [presence, offline]
const config = { ledger: { retention: 'until-delivered' } }
const JULIET = 'juliet@verona.example' as BareJid
const ROMEO = 'romeo@verona.example' as BareJid
const hello = (to: string) => xml`<message to="${to}" type="chat"><body>Hello</body></message>`

conversation(
  'DESIGN P6: with until-delivered, nothing of a message is left once a device has it',
  { modules, config, carriers: ['memory'] },
  async ({ comesOnline, clock, driver, settle }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await romeo.sends(hello(JULIET))
    await romeo.sends(hello(JULIET))
    await juliet.ignores()
    expect(await driver.log.countPending(JULIET)).toBe(0)
    clock.advance('1s')
    await settle()
    expect(await driver.log.range(JULIET, { limit: 10 })).toEqual([])
    expect(await driver.log.range(ROMEO, { limit: 10 })).toEqual([])
  },
)

conversation(
  'DESIGN P6: with until-delivered, what waits for a device is kept, and goes with the first that comes',
  { modules, config, carriers: ['memory'] },
  async ({ connect, comesOnline, createAccount, clock, driver, server, settle }) => {
    await createAccount(JULIET)
    const romeo = await comesOnline('romeo@verona.example/orchard')
    await romeo.sends(hello(JULIET))
    clock.advance('7d')
    await settle()
    expect(await driver.log.range(JULIET, { limit: 10 })).toHaveLength(1)
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends('<presence/>')
    await juliet.ignores()
    // A stop does not leave behind what was still to be deleted.
    await server.stop()
    expect(await driver.log.range(JULIET, { limit: 10 })).toEqual([])
  },
)

conversation(
  'DESIGN P6: with a duration, both sides keep a message that long, and the sweep takes it then',
  { modules, config: { ledger: { retention: '1d' } }, carriers: ['memory'] },
  async ({ comesOnline, clock, driver, settle }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await romeo.sends(hello(JULIET))
    await juliet.ignores()
    clock.jump(82_800_000)
    clock.advance('1m')
    await settle()
    for (const owner of [JULIET, ROMEO]) expect(await driver.log.range(owner, { limit: 10 })).toHaveLength(1)
    clock.jump(7_200_000)
    clock.advance('1h')
    await settle()
    for (const owner of [JULIET, ROMEO]) expect(await driver.log.range(owner, { limit: 10 })).toEqual([])
  },
)
