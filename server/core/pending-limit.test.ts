import { expect, test } from 'vitest'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, refusal, xml } from '#server/testing/conversation.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { PendingLimit } from './pending-limit.ts'

const ROMEO = 'romeo@verona.example' as BareJid
const modules = [presence, offline]

const limitOf = (max: number) => {
  const clock = new FakeClock()
  const store = { pending: 0, counts: 0 }
  const limit = new PendingLimit({
    max,
    clock,
    count: async () => {
      store.counts++
      return store.pending
    },
  })
  return { clock, store, limit }
}

test('the store is asked once, and again before anything is refused', async () => {
  const { store, limit } = limitOf(3)
  store.pending = 1
  expect(await limit.admits(ROMEO)).toBe(true)
  store.pending = 2
  // Without a promise: a message that waits for nothing must not.
  expect(limit.admits(ROMEO)).toBe(true)
  store.pending = 3
  expect(store.counts).toBe(1)
  expect(await limit.admits(ROMEO)).toBe(false)
  expect(store.counts).toBe(2)
  expect(limit.refused).toBe(1)
})

test('a full account is counted again every ten seconds, however often it is written to', async () => {
  const { clock, store, limit } = limitOf(3)
  store.pending = 3
  expect(await limit.admits(ROMEO)).toBe(false)
  for (let each = 0; each < 100; each++) expect(limit.admits(ROMEO)).toBe(false)
  expect(store.counts).toBe(1)
  store.pending = 0
  clock.advance('10s')
  expect(await limit.admits(ROMEO)).toBe(true)
  expect(store.counts).toBe(2)
})

test('a device that takes everything meanwhile is never in the way', async () => {
  const { store, limit } = limitOf(3)
  for (let each = 0; each < 30; each++) expect(await limit.admits(ROMEO)).toBe(true)
  expect(limit.refused).toBe(0)
  expect(store.counts).toBe(10)
})

test('messages that come at once cause one count', async () => {
  const { store, limit } = limitOf(3)
  expect(await Promise.all([1, 2, 3, 4].map(() => limit.admits(ROMEO)))).toEqual([true, true, true, false])
  expect(store.counts).toBe(1)
})

test('a store that does not answer is not remembered', async () => {
  let isBroken = true
  const limit = new PendingLimit({
    max: 3,
    clock: new FakeClock(),
    count: () => (isBroken ? Promise.reject(new Error('gone')) : Promise.resolve(0)),
  })
  await expect(limit.admits(ROMEO)).rejects.toThrow('gone')
  isBroken = false
  expect(await limit.admits(ROMEO)).toBe(true)
})

const says = (id: number) => xml`<message type="chat" to="${ROMEO}" id="m${id}"><body>${id}</body></message>`

conversation(
  'XEP-0160 §2: when too much waits for an account, its senders are told, and what waits comes all the same',
  { modules, config: { ledger: { maxPendingPerAccount: 10 } } },
  async ({ createAccount, comesOnline, connect }) => {
    await createAccount(ROMEO)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(Array.from({ length: 12 }, (_, index) => says(index)).join(''))
    for (const id of ['m10', 'm11'])
      await juliet.receives(refusal('service-unavailable', { kind: 'message', id, from: ROMEO, to: juliet.jid }))
    // A receipt request has no body to lose, and is not kept for ever either.
    await juliet.sends(xml`<message type="chat" to="${ROMEO}" id="r1"><received xmlns="urn:xmpp:receipts" id="x"/></message>`)
    await juliet.receives(refusal('service-unavailable', { kind: 'message', id: 'r1', from: ROMEO, to: juliet.jid }))

    const romeo = await connect('romeo@verona.example/orchard')
    await romeo.sends('<presence/>')
    await romeo.receives(xml`<presence from="${romeo.jid}" to="${ROMEO}"/>`)
    for (let id = 0; id < 10; id++)
      await romeo.receives(
        xml`<message type="chat" from="${juliet.jid}" to="${ROMEO}" id="m${id}"><body>${id}</body><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/><stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
      )
    await juliet.sends(says(20))
    await romeo.receives(
      xml`<message type="chat" from="${juliet.jid}" to="${ROMEO}" id="m20"><body>20</body><stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
    )
    await juliet.receivesNothing()
  },
)

conversation(
  'XEP-0160 §2: who is there is never refused, however much is sent',
  { modules, config: { ledger: { maxPendingPerAccount: 10 } }, carriers: ['memory'] },
  async ({ comesOnline }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.ignores()
    for (let id = 0; id < 40; id++) {
      await juliet.sends(says(id))
      await romeo.receives(
        xml`<message type="chat" from="${juliet.jid}" to="${ROMEO}" id="m${id}"><body>${id}</body><stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
      )
    }
    await juliet.receivesNothing()
  },
)
