import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import { ping } from './ping.ts'

const modules = [ping]

conversation(
  'XEP-0199 §4.2: the server answers a ping to itself and to the own account',
  { modules },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(xml`<iq type="get" id="p1" to="${domain}"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await juliet.receives(xml`<iq type="result" id="p1" from="${domain}" to="${juliet.jid}"/>`)
    await juliet.sends(xml`<iq type="get" id="p2"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await juliet.receives(xml`<iq type="result" id="p2" from="${juliet.bareJid}" to="${juliet.jid}"/>`)
    await juliet.receivesNothing()
  },
)

conversation('XEP-0199 §4.3: clients ping each other through the server', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await juliet.sends(xml`<iq type="get" id="p3" to="${romeo.jid}"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await romeo.receives(xml`<iq type="get" id="p3" from="${juliet.jid}" to="${romeo.jid}"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await romeo.sends(xml`<iq type="result" id="p3" to="${juliet.jid}"/>`)
  await juliet.receives(xml`<iq type="result" id="p3" from="${romeo.jid}" to="${juliet.jid}"/>`)
})

conversation('RFC 6121 §8.5.3.2.3: a request to a resource that is not there is refused', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<iq type="get" id="p4" to="romeo@verona.example/orchard"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await juliet.receives(refusal('service-unavailable', { id: 'p4', from: 'romeo@verona.example/orchard', to: juliet.jid }))
})
