import { expect } from 'vitest'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { carbons } from './carbons.ts'
import { csi } from './csi.ts'
import { offline } from './offline.ts'
import { presence } from './presence.ts'

const modules = [presence, offline, carbons, csi]
const INACTIVE = '<inactive xmlns="urn:xmpp:csi:0"/>'
const ACTIVE = '<active xmlns="urn:xmpp:csi:0"/>'
const COMPOSING = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
const sm = 'urn:xmpp:sm:3'

const shows = (from: string, show: string, to: string) => xml`<presence from="${from}" to="${to}"><show>${show}</show></presence>`
const types = (to: string, more = '') => xml`<message type="chat" to="${to}">${COMPOSING}${more}</message>`
const typed = (from: string, to: string, more = '') =>
  xml`<message type="chat" from="${from}" to="${to}">${COMPOSING}${more}</message>`
const says = (to: string, type = 'chat') => xml`<message type="${type}" to="${to}" id="m1"><body>Juliet?</body></message>`
const said = (from: string, to: Actor) =>
  xml`<message type="chat" from="${from}" to="${to.bareJid}" id="m1"><body>Juliet?</body><stanza-id xmlns="urn:xmpp:sid:0" by="${to.bareJid}" id="${any}"/></message>`

/** Juliet puts her phone into her pocket. */
const couple = async (scene: Scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  const juliet = await scene.comesOnline('juliet@verona.example/phone')
  await scene.befriend(romeo, juliet)
  await juliet.sends(INACTIVE)
  return { romeo, juliet }
}

conversation('XEP-0352 §4.1: it is offered after login, and not before', { modules }, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const juliet = await visit()
  expect((await juliet.opensStream()).getChild('csi', 'urn:xmpp:csi:0')).toBeUndefined()
  const again = await visit()
  expect((await again.logsIn('juliet', 'secret')).getChild('csi', 'urn:xmpp:csi:0')).toBeDefined()
})

conversation('XEP-0352 §5: a client is active until it says otherwise', { modules }, async (scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  const juliet = await scene.comesOnline('juliet@verona.example/phone')
  await romeo.sends(types(juliet.bareJid))
  await juliet.receives(typed(romeo.jid, juliet.bareJid))
})

conversation(
  'XEP-0352 §4.2, §3.2: nothing is answered; presence and typing wait until the client is active, only the last presence of each',
  { modules },
  async (scene) => {
    const { romeo, juliet } = await couple(scene)
    for (const show of ['away', 'xa']) await romeo.sends(`<presence><show>${show}</show></presence>`)
    await romeo.sends(types(juliet.bareJid))
    await romeo.sends('<presence><show>dnd</show></presence>')
    await juliet.receivesNothing()
    await juliet.sends(ACTIVE)
    await juliet.receives(typed(romeo.jid, juliet.bareJid), shows(romeo.jid, 'dnd', juliet.bareJid))
    await romeo.sends('<presence><show>chat</show></presence>')
    await juliet.receives(shows(romeo.jid, 'chat', juliet.bareJid))
  },
)

conversation('XEP-0352 §5.1: what cannot wait comes at once, and what was held comes before it', { modules }, async (scene) => {
  const { romeo, juliet } = await couple(scene)
  const tybalt = await scene.comesOnline('tybalt@verona.example/square')
  const cases: readonly (readonly [Actor, string, string])[] = [
    [romeo, says(juliet.bareJid), said(romeo.jid, juliet)],
    [
      romeo,
      xml`<message type="groupchat" to="${juliet.jid}">${COMPOSING}</message>`,
      xml`<message type="groupchat" from="${romeo.jid}" to="${juliet.jid}">${COMPOSING}</message>`,
    ],
    [
      romeo,
      xml`<message type="headline" to="${juliet.jid}"><body>News</body></message>`,
      xml`<message type="headline" from="${romeo.jid}" to="${juliet.jid}"><body>News</body></message>`,
    ],
    [
      romeo,
      xml`<iq type="get" id="i1" to="${juliet.jid}"><ping xmlns="urn:xmpp:ping"/></iq>`,
      xml`<iq type="get" id="i1" from="${romeo.jid}" to="${juliet.jid}"><ping xmlns="urn:xmpp:ping"/></iq>`,
    ],
    [
      tybalt,
      xml`<presence type="subscribe" to="${juliet.bareJid}"/>`,
      xml`<presence type="subscribe" from="${tybalt.bareJid}" to="${juliet.bareJid}"/>`,
    ],
    [
      tybalt,
      xml`<presence type="error" to="${juliet.jid}"/>`,
      xml`<presence type="error" from="${tybalt.jid}" to="${juliet.jid}"/>`,
    ],
  ]
  for (const [sender, urgent, arrived] of cases) {
    await romeo.sends('<presence><show>away</show></presence>')
    await romeo.sends(types(juliet.bareJid))
    await juliet.receivesNothing()
    await sender.sends(urgent)
    await juliet.receives(shows(romeo.jid, 'away', juliet.bareJid), typed(romeo.jid, juliet.bareJid), arrived)
  }
})

conversation(
  'XEP-0352 §5.1: what was held is there before the answer to what follows "active"',
  { modules, carriers: ['memory', 'tcp'] },
  async (scene) => {
    const { romeo, juliet } = await couple(scene)
    await romeo.sends('<presence><show>away</show></presence>')
    await juliet.sends(xml`${ACTIVE}<iq type="get" id="p1"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await juliet.receives(
      shows(romeo.jid, 'away', juliet.bareJid),
      xml`<iq type="result" id="p1" from="${juliet.bareJid}" to="${juliet.jid}"/>`,
    )
  },
)

conversation(
  'XEP-0352 §3.2: typing that is copied from another device waits too, and a copied message does not',
  { modules },
  async (scene) => {
    const { romeo, juliet } = await couple(scene)
    await juliet.sends(xml`<iq type="set" id="c1"><enable xmlns="urn:xmpp:carbons:2"/></iq>`)
    const desk = await scene.comesOnline('juliet@verona.example/desk')
    await juliet.ignores()
    await desk.sends(types(romeo.bareJid))
    await juliet.receivesNothing()
    await desk.sends(says(romeo.bareJid))
    const messages = (await juliet.collects()).filter(({ name }) => name === 'message')
    const copied = messages.map(
      (element) =>
        element
          .getChild('sent', 'urn:xmpp:carbons:2')
          ?.getChild('forwarded', 'urn:xmpp:forward:0')
          ?.getChild('message', 'jabber:client')
          ?.getChildren()[0]?.name,
    )
    expect(copied).toEqual(['composing', 'body'])
  },
)

conversation('XEP-0352 §3.2: a chat state beside something else is no mere typing', { modules }, async (scene) => {
  const { romeo, juliet } = await couple(scene)
  const receipt = '<received xmlns="urn:xmpp:receipts" id="m0"/>'
  await romeo.sends(types(juliet.jid, receipt))
  await juliet.receives(
    typed(romeo.jid, juliet.jid, `${receipt}<stanza-id xmlns="urn:xmpp:sid:0" by="${juliet.bareJid}" id="${any}"/>`),
  )
  await romeo.sends(types(juliet.jid, '<thread>t1</thread>'))
  await juliet.receivesNothing()
})

conversation('XEP-0352 §5: inactivity is no presence: nobody else sees it', { modules }, async (scene) => {
  const { romeo, juliet } = await couple(scene)
  await juliet.sends(ACTIVE)
  await juliet.sends(INACTIVE)
  await romeo.receivesNothing()
  await romeo.sends(xml`<presence type="probe" to="${juliet.bareJid}"/>`)
  await romeo.receives(xml`<presence from="${juliet.jid}" to="${romeo.jid}"/>`)
})

for (const [what, config] of [
  ['too many', { maxHeld: 3 }],
  ['too large', { maxHeldBytes: '1 KiB' }],
] as const)
  conversation(
    `DESIGN P5: what is held is sent when it becomes ${what}`,
    { modules, config: { modules: { csi: config } } },
    async (scene) => {
      const { romeo, juliet } = await couple(scene)
      const thread = `<thread>${'t'.repeat(300)}</thread>`
      for (let n = 0; n < 2; n++) {
        await romeo.sends(types(juliet.jid, thread))
        await juliet.receivesNothing()
      }
      await romeo.sends(types(juliet.jid, thread))
      for (let n = 0; n < 3; n++) await juliet.receives(typed(romeo.jid, juliet.jid, thread))
      await romeo.sends(types(juliet.jid, thread))
      await juliet.receivesNothing()
    },
  )

conversation('XEP-0352 §5.2: a resumed stream is active, and gets what was held', { modules }, async (scene) => {
  const { romeo, juliet } = await couple(scene)
  await juliet.sends(`<enable xmlns="${sm}" resume="true"/>`)
  const enabled = await juliet.next()
  await romeo.sends('<presence><show>away</show></presence>')
  await juliet.vanishes()
  await romeo.sends(types(juliet.bareJid))
  const again = await scene.visit()
  await again.logsIn('juliet', 'secret')
  await again.sends(`<resume xmlns="${sm}" previd="${enabled.attrs.id}" h="0"/>`)
  again.is(juliet.jid)
  await again.receives(`<resumed xmlns="${sm}" previd="${any}" h="0"/>`)
  const got = (await again.collects()).filter(({ name }) => name !== 'r').map(({ name }) => name)
  expect(got).toEqual(['presence', 'message'])
  await romeo.sends('<presence><show>dnd</show></presence>')
  await again.receives(shows(romeo.jid, 'dnd', juliet.bareJid))
})
