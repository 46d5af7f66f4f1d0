import { expect } from 'vitest'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { StorageError } from '#storage/storage-error.ts'

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
  { modules, config, carriers: ['memory'], nodes: 1 },
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
  // Of several nodes one finds out first that the round is its own, which takes no time while an hour passes at once: see retention-fleet.test.ts.
  { modules, nodes: 1, config: { ledger: { retention: '1d' } }, carriers: ['memory'] },
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

conversation(
  'DESIGN P6: who wants no archive has a message until it is delivered, and the other party keeps its own',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, createAccount, connect, driver, server }) => {
    await createAccount(JULIET)
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const asked: string[] = []
    server.ledger.archiving = (owner, peer) => {
      asked.push(`${owner} ${peer}`)
      return owner === JULIET ? 'transient' : Promise.resolve('archive')
    }
    await romeo.sends(hello(JULIET))
    await romeo.sends(hello(JULIET))
    await romeo.receivesNothing()
    expect(asked.slice(0, 2).sort()).toEqual([`${JULIET} ${ROMEO}`, `${ROMEO} ${JULIET}`])
    expect((await driver.log.range(JULIET, { limit: 10 })).map(({ isTransient }) => isTransient)).toEqual([true, true])
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends('<presence/>')
    await juliet.ignores()
    expect(await driver.log.range(JULIET, { limit: 10 })).toEqual([])
    expect(await driver.log.range(ROMEO, { limit: 10 })).toHaveLength(2)
  },
)

conversation(
  'DESIGN P6: whose own side is not to be archived has no entry of what it sends',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, driver, server }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    server.ledger.archiving = (owner) => (owner === ROMEO ? 'transient' : 'archive')
    await romeo.sends(hello(JULIET))
    await juliet.ignores()
    expect(await driver.log.range(ROMEO, { limit: 10 })).toEqual([])
    expect(await driver.log.range(JULIET, { limit: 10 })).toHaveLength(1)
  },
)

conversation(
  'DESIGN P1: a message whose sender or recipient cannot be asked what it wants is refused, and not stored by half',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, driver, server }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    server.ledger.archiving = (owner) =>
      owner === ROMEO ? Promise.reject(new StorageError('no answer', { isTransient: true })) : 'archive'
    await romeo.sends(`<message to="${JULIET}" id="m1" type="chat"><body>Hello</body></message>`)
    await romeo.receives(refusal('resource-constraint', { id: 'm1', from: JULIET, to: romeo.jid, kind: 'message' }))
    await juliet.receivesNothing()
    expect(await driver.log.range(JULIET, { limit: 10 })).toEqual([])
  },
)

conversation(
  'a record is told once it is durable, and once that a device has it, though two took it',
  { modules, carriers: ['memory'], nodes: 1 },
  async ({ comesOnline, clock, driver, server }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const window = await comesOnline('juliet@verona.example/window')
    const told: unknown[] = []
    server.ledger.onKept = (id, stanza, from, to) =>
      told.push(['kept', id, stanza.text('jabber:client', 'body'), from.bare, to.bare])
    server.ledger.onTaken = (account, id, atMs) => told.push(['taken', id, account, atMs])
    await romeo.sends(hello(JULIET))
    await juliet.ignores()
    await window.ignores()
    const [entry] = await driver.log.range(JULIET, { limit: 10 })
    expect(entry?.takenAtMs).toBe(clock.nowMs())
    expect(told).toEqual([
      ['kept', entry?.id, 'Hello', ROMEO, JULIET],
      ['taken', entry?.id, JULIET, clock.nowMs()],
    ])
  },
)
