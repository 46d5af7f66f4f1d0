import { setImmediate as turn } from 'node:timers/promises'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import { guard } from './hooks.ts'
import { defineModule } from './module.ts'

const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example/balcony'
const SM = 'urn:xmpp:sm:3'

/** Looks at a message for as long as it is told to. */
const slow = (id: string) => {
  const reached = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  const module = defineModule({
    name: 'slow',
    summary: 'Holds up one message.',
    start: () => ({
      hooks: [
        guard('inbound', async ({ stanza }) => {
          if (stanza.id !== id) return undefined
          reached.resolve()
          await released.promise
          return undefined
        }),
      ],
    }),
  })
  return { module, isReached: reached.promise, release: released.resolve }
}

const says = (id: string) => xml`<message type="chat" to="${ROMEO}" id="${id}"><body>${id}</body></message>`
const hears = (id: string, late: boolean) =>
  xml`<message type="chat" from="${JULIET}" to="${ROMEO}" id="${id}"><body>${id}</body>${late ? `<delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>` : ''}
    <stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`

const first = slow('m1')

conversation(
  'RFC 6120 §10.1: what was sent while a home was looked for comes first, when that turns out to be here',
  { modules: [presence, offline, first.module], nodes: 2, carriers: ['memory'] },
  async ({ connect, createAccount, comesBy }) => {
    await createAccount(ROMEO)
    comesBy(0)
    const juliet = await connect(JULIET)
    await juliet.sends(says('m1'))
    await first.isReached
    await juliet.sends(says('m2'))
    for (let turns = 0; turns < 50; turns++) await turn()
    first.release()
    await juliet.receivesNothing()
    const romeo = await connect(`${ROMEO}/orchard`)
    await romeo.sends('<presence/>')
    await romeo.receives(`<presence from="${romeo.jid}" to="${ROMEO}"/>`)
    for (const id of ['m1', 'm2']) await romeo.receives(hears(id, true))
  },
)

const second = slow('m2')

conversation(
  'decision 0010: an account does not leave a home at which something for it has begun',
  { modules: [presence, offline, second.module], nodes: 2, carriers: ['memory'] },
  async ({ connect, createAccount, comesBy, clock }) => {
    await createAccount(ROMEO)
    comesBy(0)
    const juliet = await connect(JULIET)
    await juliet.sends(says('m1'))
    await juliet.receivesNothing()
    clock.advance('20s')
    await juliet.sends(says('m2'))
    await second.isReached
    comesBy(1)
    const romeo = await connect(`${ROMEO}/orchard`)
    await romeo.sends('<presence/>')
    await romeo.receives(`<presence from="${romeo.jid}" to="${ROMEO}"/>`)
    await romeo.receives(hears('m1', true))
    second.release()
    await romeo.receives(hears('m2', false))
  },
)

conversation(
  'decision 0010: what was to be stored for an account that another node took in just that moment goes to that node',
  { modules: [presence, offline], nodes: 2, carriers: ['memory'] },
  async ({ connect, createAccount, comesBy, driver, clock, settle }) => {
    await createAccount(ROMEO)
    comesBy(0)
    const juliet = await connect(JULIET)
    const reached = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    const range = driver.log.range.bind(driver.log)
    let isFirst = true
    // The account comes to the first node, slowly.
    Object.assign(driver.log, {
      async range(...given: Parameters<typeof range>) {
        if (given[0] === ROMEO && isFirst) {
          isFirst = false
          reached.resolve()
          await released.promise
        }
        return range(...given)
      },
    })
    await juliet.sends(says('m1'))
    await reached.promise
    comesBy(1)
    const login = connect(`${ROMEO}/orchard`)
    for (let turns = 0; turns < 50; turns++) await turn()
    released.resolve()
    const romeo = await login
    await romeo.sends('<presence/>')
    await romeo.ignores()
    clock.advance('1s')
    await settle()
    await juliet.sends(says('m2'))
    for (const id of ['m1', 'm2']) await romeo.receives(hears(id, false))
  },
)

conversation(
  'decision 0010: who waits for an answer that a full link does not take gets it later',
  { modules: [presence, offline], nodes: 2, carriers: ['memory'] },
  async ({ connect, comesBy, comesOnline, fills, clock, settle }) => {
    comesBy(0)
    const juliet = await connect(JULIET)
    await juliet.sends(`<enable xmlns="${SM}"/>`)
    await juliet.receives(`<enabled xmlns="${SM}"/>`)
    comesBy(1)
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    await juliet.sends(says('m1'))
    await romeo.receives(hears('m1', false))
    fills(1)
    await juliet.sends(says('m2'))
    await romeo.receives(hears('m2', false))
    await juliet.sends(`<r xmlns="${SM}"/>`)
    await juliet.receivesNothing()
    fills(1, false)
    clock.advance('1s')
    await settle()
    await juliet.receives(`<a xmlns="${SM}" h="2"/>`)
  },
)
