import { expect } from 'vitest'
import { type Actor, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { blocking } from './blocking.ts'
import { carbons } from './carbons.ts'
import { csi } from './csi.ts'
import { offline } from './offline.ts'
import { presence } from './presence.ts'

/** Everything that looks at messages on their way. */
const modules = [presence, offline, carbons, csi, blocking]

/** What clients say to each other, written as nobody would: any other reading than of the bytes themselves would change it. */
const PAYLOADS: Readonly<Record<string, string>> = {
  'XEP-0184 §5: a request for a receipt': `<body>Hi &#x2014; 'there' "you" &gt; me</body><request   xmlns = "urn:xmpp:receipts"></request >`,
  'XEP-0184 §5: a receipt': `<received xmlns='urn:xmpp:receipts'  id="richard2-4.1.247"/>`,
  'XEP-0333 §3: a markable message': `<body xml:lang='de'>Grüß&#32;dich 🌹</body>\n  <markable xmlns='urn:xmpp:chat-markers:0' />`,
  'XEP-0333 §3: a displayed marker': `<thread>sleeping</thread><displayed id='message-1' xmlns='urn:xmpp:chat-markers:0'/>`,
  'XEP-0333 §3: a received marker with a hint': `<received xmlns="urn:xmpp:chat-markers:0" id="1"/><store xmlns="urn:xmpp:hints"/>`,
  'XEP-0308 §3: a correction': `<body>But soft, what light</body><replace id='bad1' xmlns='urn:xmpp:message-correct:0'/>`,
  'XEP-0444 §3: reactions': `<reactions id='744f6e18-a57a-11e9' xmlns='urn:xmpp:reactions:0'><reaction>👋</reaction><reaction>&#x1F422;</reaction></reactions>`,
  'XEP-0444 §3: reactions taken back': `<reactions id='744f6e18-a57a-11e9' xmlns='urn:xmpp:reactions:0'></reactions>`,
  'XEP-0461 §3: a reply with its fallback': `<body>&gt; Anna wrote:\n&gt; We should bake a cake\nGreat idea!</body><reply to='anna@example.com/tablet' id='message-id1' xmlns='urn:xmpp:reply:0' /><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start="0" end="38" /></fallback>`,
  'XEP-0085 §4: a chat state beside a body': `<body>Who's there?</body><active xmlns='http://jabber.org/protocol/chatstates'/>`,
  'XEP-0066 §3: a link, in its place': `<body>https://a.example/?b=1&amp;c=2</body><x xmlns='jabber:x:oob'><url>https://a.example/?b=1&amp;c=2</url><desc><![CDATA[a <b> c]]></desc></x>`,
  'XEP-0384 §4: an OMEMO message': `<encrypted xmlns='urn:xmpp:omemo:2'><header sid='27183'><keys jid='juliet@capulet.lit'><key rid='31415'>b64/encoded+data==</key></keys></header><payload>\r\nbase64/encoded+data==\n</payload></encrypted><store xmlns='urn:xmpp:hints'/><body>You cannot read this</body>`,
  'XEP-0384 (legacy): an OMEMO message': `<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid="1"><key rid="2" prekey="true">AA==</key><iv>BB==</iv></header><payload>CC==</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/>`,
  'RFC 6120 §8.4: what nobody knows, with a prefix of its own': `<f:one xmlns:f='urn:example:f' f:a='1' b="&quot;2&quot;"><f:two xmlns="">&apos;</f:two></f:one>`,
}

const household = async (scene: Scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await scene.comesOnline('romeo@verona.example/phone')
  const desk = await scene.comesOnline('romeo@verona.example/desk')
  for (const device of [phone, desk]) await device.sends(xml`<iq type="set" id="c1"><enable xmlns="urn:xmpp:carbons:2"/></iq>`)
  for (const actor of [juliet, phone, desk]) await actor.overhears()
  return { juliet, phone, desk }
}

const says = (to: string, payload: string) => `<message type='chat' id='m1' to='${to}'>${payload}</message>`
const expectBytes = async (actor: Actor, payload: string) => expect(await actor.overhears()).toContain(`>${payload}<`)

for (const [what, payload] of Object.entries(PAYLOADS)) {
  conversation(`${what} passes byte for byte, live and copied`, { modules }, async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    await juliet.sends(says(phone.bareJid, payload))
    for (const device of [phone, desk]) await expectBytes(device, payload)
    await juliet.sends(says(phone.jid, payload))
    const live = await phone.overhears()
    expect(live).toContain(`>${payload}<stanza-id`)
    const copied = await desk.overhears()
    expect(copied).toContain(`>${payload}<stanza-id`)
    expect(copied).toContain("<received xmlns='urn:xmpp:carbons:2'>")
    await phone.sends(says(juliet.bareJid, payload))
    await expectBytes(juliet, payload)
    const sent = await desk.overhears()
    expect(sent).toContain(`>${payload}<`)
    expect(sent).toContain("<sent xmlns='urn:xmpp:carbons:2'>")
  })

  conversation(
    `${what} reaches one who was offline byte for byte`,
    { modules },
    async ({ comesOnline, connect, createAccount }) => {
      await createAccount('romeo@verona.example')
      const juliet = await comesOnline('juliet@verona.example/balcony')
      await juliet.sends(says('romeo@verona.example', payload))
      await juliet.receivesNothing()
      const phone = await connect('romeo@verona.example/phone')
      await phone.overhears()
      await phone.sends('<presence/>')
      expect(await phone.overhears()).toContain(`>${payload}<delay `)
    },
  )
}

conversation('XEP-0085 §5.1: a chat state by itself passes byte for byte, and is not kept', { modules }, async (scene) => {
  const { juliet, phone, desk } = await household(scene)
  const payload = `<composing  xmlns="http://jabber.org/protocol/chatstates"></composing>`
  await juliet.sends(says(phone.jid, payload))
  for (const device of [phone, desk]) await expectBytes(device, `${payload}`)
  for (const device of [phone, desk]) await device.leaves()
  await juliet.sends(says(phone.bareJid, payload))
  const again = await scene.comesOnline('romeo@verona.example/phone')
  expect(await again.overhears()).not.toContain('composing')
})
