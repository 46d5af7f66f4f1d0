import { expect } from 'vitest'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import { ends, failsWith, streamHeader } from '#server/testing/stream-end.ts'
import { NS_CLIENT } from '#stanzas/namespaces.ts'

const ping = (id: string, to = 'verona.example'): string =>
  xml`<iq type="get" id="${id}" to="${to}"><ping xmlns="urn:xmpp:ping"/></iq>`
const plain = (username: string, password: string): string =>
  `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from(`\0${username}\0${password}`).toString('base64')}</auth>`

const web = { carriers: ['websocket'] } as const
const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing'

conversation('RFC 7395 §3.4: a stream opens by a frame with its own header', web, async ({ visit, domain }) => {
  const actor = await visit()
  await actor.sends(`<open xmlns='${FRAMING}' to='${domain}' from='juliet@verona.example' version='1.0'/>`)
  await actor.receives(
    `<open xmlns='${FRAMING}' from='${domain}' to='juliet@verona.example' id='${any}' version='1.0' xml:lang='en'/>`,
  )
  expect((await actor.next()).name).toBe('features')
})

conversation('RFC 7395 §3.3.2: only <open/> may come first, also after a login', web, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  for (const said of [
    xml`<presence/>`,
    plain('juliet', 'secret'),
    streamHeader()
      .replace(/^.*\?>/, '')
      .replace(/>$/, '/>'),
  ]) {
    const actor = await visit()
    await actor.sends(said)
    await failsWith(actor, 'invalid-namespace')
  }
  const juliet = await visit()
  await juliet.opensStream()
  await juliet.sends(plain('juliet', 'secret'))
  expect((await juliet.next()).name).toBe('success')
  await juliet.sends(xml`<iq type="set" id="b"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>`)
  await failsWith(juliet, 'invalid-namespace')
})

conversation('RFC 7395 §3.3.3: a frame is one whole element that says its namespace', web, async ({ connect }) => {
  for (const [said, condition] of [
    ['<presence/>', 'invalid-namespace'],
    [`<presence xmlns='${NS_CLIENT}'/><presence xmlns='${NS_CLIENT}'/>`, 'not-well-formed'],
    [`<presence xmlns='${NS_CLIENT}'>`, 'not-well-formed'],
    [` <presence xmlns='${NS_CLIENT}'/>`, 'not-well-formed'],
    [' ', 'not-well-formed'],
    ['', 'not-well-formed'],
    ['<!-- comment -->', 'restricted-xml'],
    [`<open xmlns='${FRAMING}' to='verona.example' version='1.0'/>`, 'unsupported-stanza-type'],
    [`<strange xmlns='${FRAMING}'/>`, 'unsupported-stanza-type'],
  ] as const) {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sendsRaw(said)
    await failsWith(juliet, condition)
  }
})

conversation('RFC 7395 §3.3.3: what the server sends says its namespace, each frame by itself', web, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ping('p1'))
  const [answer] = await juliet.collects()
  expect(answer?.ns).toBe(NS_CLIENT)
})

conversation(
  'RFC 7395 §3.6: what was said before <close/> counts, and nothing is read behind it',
  { ...web, modules: [presence, offline] },
  async ({ comesOnline, connect, driver }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await connect('juliet@verona.example/balcony')
    driver.hold()
    await juliet.sends(xml`<message to="${romeo.bareJid}" type="chat" id="m1"><body>good night</body></message>`)
    await juliet.sends(`<close xmlns='${FRAMING}'/>`)
    await juliet.sends(ping('p1'))
    await juliet.receivesNothing()
    driver.release()
    await ends(juliet)
    expect((await romeo.collects()).map(({ attrs }) => attrs.id)).toEqual(['m1'])
  },
)
