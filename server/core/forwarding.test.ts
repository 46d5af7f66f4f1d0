import { setImmediate as turn } from 'node:timers/promises'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import { guard } from './hooks.ts'
import { defineModule } from './module.ts'

const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example/balcony'

/** Looks at the first message for as long as it is told to. */
const slow = () => {
  const reached = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  const module = defineModule({
    name: 'slow',
    summary: 'Holds up the first message.',
    start: () => ({
      hooks: [
        guard('inbound', async ({ stanza }) => {
          if (stanza.id !== 'm1') return undefined
          reached.resolve()
          await released.promise
          return undefined
        }),
      ],
    }),
  })
  return { module, isReached: reached.promise, release: released.resolve }
}

const { module, isReached, release } = slow()

conversation(
  'RFC 6120 §10.1: what was sent while a home was looked for comes first, when that turns out to be here',
  { modules: [presence, offline, module], nodes: 2, carriers: ['memory'] },
  async ({ connect, createAccount, comesBy }) => {
    await createAccount(ROMEO)
    comesBy(0)
    const juliet = await connect(JULIET)
    const says = (id: string) => juliet.sends(xml`<message type="chat" to="${ROMEO}" id="${id}"><body>${id}</body></message>`)
    await says('m1')
    await isReached
    await says('m2')
    for (let turns = 0; turns < 50; turns++) await turn()
    release()
    await juliet.receivesNothing()
    const romeo = await connect(`${ROMEO}/orchard`)
    await romeo.sends('<presence/>')
    await romeo.receives(`<presence from="${romeo.jid}" to="${ROMEO}"/>`)
    for (const id of ['m1', 'm2'])
      await romeo.receives(
        xml`<message type="chat" from="${JULIET}" to="${ROMEO}" id="${id}"><body>${id}</body><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>
          <stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
      )
  },
)
