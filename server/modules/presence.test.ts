import { conversation, xml } from '#server/testing/conversation.ts'
import { presence } from './presence.ts'

const modules = [presence]

conversation(
  'RFC 6121 §4.2.2: initial presence goes to subscribers and to the own resources',
  { modules },
  async ({ connect, comesOnline, befriend }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await connect('juliet@verona.example/balcony')
    await befriend(romeo, juliet)
    await juliet.sends(xml`<presence id="p1"><show>away</show></presence>`)
    await romeo.receives(
      xml`<presence from="${juliet.jid}" to="${romeo.bareJid}" id="p1"><show>away</show></presence>`,
    )
    await juliet.receives(
      xml`<presence from="${juliet.jid}" to="${juliet.bareJid}" id="p1"><show>away</show></presence>`,
      xml`<presence from="${romeo.jid}" to="${juliet.jid}"/>`,
    )
    await juliet.leaves()
    await romeo.receives(xml`<presence type="unavailable" from="${juliet.jid}" to="${romeo.bareJid}"/>`)
  },
)
