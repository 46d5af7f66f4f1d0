import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { carbons } from './carbons.ts'
import { disco } from './disco.ts'
import { offline } from './offline.ts'
import { presence } from './presence.ts'

const modules = [presence, offline, carbons]
const NS = 'urn:xmpp:carbons:2'
const romeo = 'romeo@verona.example'

const enable = xml`<iq type="set" id="c1"><enable xmlns="${NS}"/></iq>`
const disable = xml`<iq type="set" id="c1"><disable xmlns="${NS}"/></iq>`
const done = (actor: Actor) => xml`<iq type="result" id="c1" from="${actor.bareJid}" to="${actor.jid}"/>`
const stanzaId = (by: string) => `<stanza-id xmlns="urn:xmpp:sid:0" by="${by}" id="${any}"/>`

/** A message as it is sent, and as it arrives. */
const message = (attributes: string, content: string) => xml`<message ${attributes}>${content}</message>`
const copy = (direction: 'sent' | 'received', to: Actor, type: string, inner: string) =>
  xml`<message from="${to.bareJid}" to="${to.jid}"${type === '' ? '' : ` type="${type}"`}><${direction} xmlns="${NS}">
    <forwarded xmlns="urn:xmpp:forward:0">${inner.replace('<message ', '<message xmlns="jabber:client" ')}</forwarded></${direction}></message>`
const BODY = '<body>What man art thou?</body><thread>0e31</thread>'

const enabling = async (scene: Scene, jid: string, priority?: number): Promise<Actor> => {
  const actor = await scene.comesOnline(
    jid,
    priority === undefined ? undefined : `<presence><priority>${priority}</priority></presence>`,
  )
  await actor.sends(enable)
  await actor.receives(done(actor))
  return actor
}

/** Juliet; Romeo with two devices that want copies and one that does not. */
const household = async (scene: Scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await enabling(scene, `${romeo}/phone`)
  const desk = await enabling(scene, `${romeo}/desk`)
  const old = await scene.comesOnline(`${romeo}/old`)
  for (const actor of [juliet, phone, desk, old]) await actor.ignores()
  return { juliet, phone, desk, old }
}

conversation(
  'XEP-0280 §4, §5, §10.1: copies are switched on and off, again and again, without an error',
  { modules },
  async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    const send = () => juliet.sends(message(`type="chat" to="${phone.jid}"`, BODY))
    const inner = message(`type="chat" from="${juliet.jid}" to="${phone.jid}"`, `${BODY}${stanzaId(romeo)}`)
    for (let i = 0; i < 2; i++) {
      await desk.sends(enable)
      await desk.receives(done(desk))
    }
    await send()
    await desk.receives(copy('received', desk, 'chat', inner))
    for (let i = 0; i < 2; i++) {
      await desk.sends(disable)
      await desk.receives(done(desk))
    }
    await send()
    await desk.receivesNothing()
  },
)

conversation('XEP-0280 §4.1, §5.1: nobody switches the copies of another', { modules }, async ({ connect }) => {
  const tybalt = await connect('tybalt@verona.example/square')
  for (const name of ['enable', 'disable']) {
    await tybalt.sends(xml`<iq type="set" id="c2" to="${romeo}"><${name} xmlns="${NS}"/></iq>`)
    await tybalt.receives(refusal('forbidden', { id: 'c2', from: romeo, to: tybalt.jid }))
  }
})

conversation(
  'XEP-0280 §7: what one device receives the others that want it get as a copy, and the device itself gets none',
  { modules },
  async (scene) => {
    const { juliet, phone, desk, old } = await household(scene)
    await juliet.sends(message(`type="chat" to="${phone.jid}" id="m1" xml:lang="en"`, BODY))
    const arrived = message(
      `type="chat" from="${juliet.jid}" to="${phone.jid}" id="m1" xml:lang="en"`,
      `${BODY}${stanzaId(romeo)}`,
    )
    const [live] = await phone.receives(arrived)
    const [copied] = await desk.receives(copy('received', desk, 'chat', arrived))
    const inner = copied
      ?.getChild('received', NS)
      ?.getChild('forwarded', 'urn:xmpp:forward:0')
      ?.getChild('message', 'jabber:client')
    const idOf = (element: typeof inner) => element?.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id
    // DESIGN P2: the live copy and the carbon tell the same id.
    if (idOf(inner) === undefined || idOf(inner) !== idOf(live)) throw new Error('the ids differ')
    for (const actor of [juliet, phone, desk, old]) await actor.receivesNothing()
  },
)

conversation(
  'XEP-0280 §7: what goes to the bare JID reaches every device by itself and is not copied',
  { modules },
  async (scene) => {
    const { juliet, phone, desk, old } = await household(scene)
    await juliet.sends(message(`type="chat" to="${romeo}"`, BODY))
    const arrived = message(`type="chat" from="${juliet.jid}" to="${romeo}"`, `${BODY}${stanzaId(romeo)}`)
    for (const device of [phone, desk, old]) await device.receives(arrived)
    for (const device of [juliet, phone, desk, old]) await device.receivesNothing()
  },
)

conversation(
  'XEP-0280 §8: what one device sends the others get as a copy, whether or not the sender wants copies',
  { modules },
  async (scene) => {
    const { juliet, phone, desk, old } = await household(scene)
    for (const sender of [phone, old]) {
      await sender.sends(message(`type="chat" to="${juliet.bareJid}" id="m1"`, BODY))
      const attributes = `type="chat" from="${sender.jid}" to="${juliet.bareJid}" id="m1"`
      for (const device of [phone, desk])
        if (device !== sender)
          await device.receives(copy('sent', device, 'chat', message(attributes, `${BODY}${stanzaId(romeo)}`)))
      // XEP-0313 §3.5: the ids of Romeo's account are not for Juliet.
      await juliet.receives(message(attributes, `${BODY}${stanzaId(juliet.bareJid)}`))
      for (const device of [juliet, phone, desk, old]) await device.receivesNothing()
    }
  },
)

conversation('XEP-0280 §8: between devices of one account every other device gets one copy', { modules }, async (scene) => {
  const { phone, desk, old } = await household(scene)
  const third = await enabling(scene, `${romeo}/third`)
  for (const device of [phone, desk, old]) await device.ignores()
  await phone.sends(message(`type="chat" to="${desk.jid}"`, BODY))
  const arrived = message(`type="chat" from="${phone.jid}" to="${desk.jid}"`, `${BODY}${stanzaId(romeo)}`)
  await desk.receives(arrived)
  await third.receives(copy('sent', third, 'chat', arrived))
  for (const device of [phone, desk, old, third]) await device.receivesNothing()
})

const STATE = '<active xmlns="http://jabber.org/protocol/chatstates"/>'
const RECEIPT = '<received xmlns="urn:xmpp:receipts" id="m0"/>'
const MARKER = '<displayed xmlns="urn:xmpp:chat-markers:0" id="m0"/>'
const DIRECT_INVITE = '<x xmlns="jabber:x:conference" jid="feast@rooms.example"/>'
const INVITE = '<x xmlns="http://jabber.org/protocol/muc#user"><invite from="nurse@verona.example"/></x>'
const ROOM = '<x xmlns="http://jabber.org/protocol/muc#user"/>'

for (const [what, type, content] of [
  ['a chat message without a body', 'chat', '<subject>Feast</subject>'],
  ['a normal message with a body', 'normal', BODY],
  ['a message without a type, with a body', '', BODY],
  ['a receipt', 'normal', RECEIPT],
  ['a chat state', 'normal', STATE],
  ['a chat marker', '', MARKER],
  ['a headline that tells a receipt', 'headline', RECEIPT],
  ['a direct invitation', 'normal', DIRECT_INVITE],
  ['a mediated invitation', '', INVITE],
  ['a mediated invitation of type chat', 'chat', INVITE],
] as const)
  conversation(`XEP-0280 §6.1: ${what} is copied`, { modules, carriers: ['memory'] }, async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    const typed = type === '' ? '' : `type="${type}" `
    const kept = content === STATE || type === 'headline' ? '' : stanzaId(romeo)
    await juliet.sends(message(`${typed}to="${phone.jid}"`, content))
    const arrived = message(`${typed}from="${juliet.jid}" to="${phone.jid}"`, `${content}${kept}`)
    await phone.receives(arrived)
    await desk.receives(copy('received', desk, type, arrived))
    await phone.sends(message(`${typed}to="${juliet.jid}"`, content))
    await desk.receives(copy('sent', desk, type, message(`${typed}from="${phone.jid}" to="${juliet.jid}"`, `${content}${kept}`)))
    for (const device of [phone, desk]) await device.receivesNothing()
  })

for (const [what, type, content] of [
  ['a normal message without a body', 'normal', '<subject>Feast</subject>'],
  ['groupchat', 'groupchat', BODY],
  ['a headline', 'headline', BODY],
  ['an error', 'error', BODY],
  ['what is private (§9)', 'chat', `${BODY}<private xmlns="${NS}"/><no-copy xmlns="urn:xmpp:hints"/>`],
  ['what is merely marked private (§9)', 'chat', `${BODY}<private xmlns="${NS}"/>`],
  ['what must not be copied (XEP-0334 §4.3)', 'chat', `${BODY}<no-copy xmlns="urn:xmpp:hints"/>`],
  ['what pretends to be a copy (§11)', 'chat', `<received xmlns="${NS}"><forwarded xmlns="urn:xmpp:forward:0"/></received>`],
] as const)
  conversation(`XEP-0280 §6.1: ${what} is not copied, and arrives as it is`, { modules, carriers: ['memory'] }, async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    const kept = (by: string) =>
      type === 'groupchat' || type === 'headline' || type === 'error' || content.startsWith('<received') ? '' : stanzaId(by)
    await juliet.sends(message(`type="${type}" to="${phone.jid}"`, content))
    await phone.receives(message(`type="${type}" from="${juliet.jid}" to="${phone.jid}"`, `${content}${kept(romeo)}`))
    await phone.sends(message(`type="${type}" to="${juliet.jid}"`, content))
    await juliet.receives(message(`type="${type}" from="${phone.jid}" to="${juliet.jid}"`, `${content}${kept(juliet.bareJid)}`))
    for (const device of [juliet, phone, desk]) await device.receivesNothing()
  })

for (const type of ['chat', 'normal'])
  conversation(
    `XEP-0280 §6.1: a private message (${type}) to an occupant is copied, one from an occupant is not`,
    { modules, carriers: ['memory'] },
    async (scene) => {
      const { juliet, phone, desk } = await household(scene)
      await phone.sends(message(`type="${type}" to="${juliet.jid}"`, `${BODY}${ROOM}`))
      await desk.receives(
        copy(
          'sent',
          desk,
          type,
          message(`type="${type}" from="${phone.jid}" to="${juliet.jid}"`, `${BODY}${ROOM}${stanzaId(romeo)}`),
        ),
      )
      await juliet.sends(message(`type="${type}" to="${phone.jid}"`, `${BODY}${ROOM}`))
      await phone.receives(message(`type="${type}" from="${juliet.jid}" to="${phone.jid}"`, `${BODY}${ROOM}${stanzaId(romeo)}`))
      for (const device of [phone, desk]) await device.receivesNothing()
    },
  )

const UNAVAILABLE = '<error type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>'

for (const [what, content, kept] of [
  ['a message that is kept', BODY, true],
  ['a chat state, which is not', STATE, false],
  ['a message that must not be kept', `${BODY}<no-store xmlns="urn:xmpp:hints"/>`, false],
] as const)
  conversation(`XEP-0280 §6.1: an error that answers ${what} is copied on both sides`, { modules }, async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    const window = await enabling(scene, 'juliet@verona.example/window')
    for (const actor of [juliet, phone, desk, window]) await actor.ignores()
    await phone.sends(message(`type="chat" to="${juliet.jid}" id="m1"`, content))
    const sent = (by: string) =>
      message(`type="chat" from="${phone.jid}" to="${juliet.jid}" id="m1"`, kept ? `${content}${stanzaId(by)}` : content)
    await desk.receives(copy('sent', desk, 'chat', sent(romeo)))
    await window.receives(copy('received', window, 'chat', sent(juliet.bareJid)))
    await juliet.ignores()
    await juliet.sends(message(`type="error" to="${phone.jid}" id="m1"`, UNAVAILABLE))
    const error = message(`type="error" from="${juliet.jid}" to="${phone.jid}" id="m1"`, UNAVAILABLE)
    await phone.receives(error)
    await desk.receives(copy('received', desk, 'error', error))
    await window.receives(copy('sent', window, 'error', error))
    for (const actor of [juliet, phone, desk, window]) await actor.receivesNothing()
  })

for (const [what, id, content] of [
  ['nothing that was sent', 'm2', BODY],
  ['a private message', 'm1', `${BODY}<private xmlns="${NS}"/>`],
  ['a message that must not be copied', 'm1', `${BODY}<no-copy xmlns="urn:xmpp:hints"/>`],
] as const)
  conversation(`XEP-0280 §6.1: an error that answers ${what} is not copied`, { modules, carriers: ['memory'] }, async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    await phone.sends(message(`type="chat" to="${juliet.jid}" id="m1"`, content))
    await desk.ignores()
    await juliet.sends(message(`type="error" to="${phone.jid}" id="${id}"`, UNAVAILABLE))
    await phone.receives(message(`type="error" from="${juliet.jid}" to="${phone.jid}" id="${id}"`, UNAVAILABLE))
    await desk.receivesNothing()
    // Nor one that answers a message of somebody else's.
    const nurse = await scene.comesOnline('nurse@verona.example/street')
    await nurse.sends(message(`type="error" to="${phone.jid}" id="m1"`, UNAVAILABLE))
    await phone.receives(message(`type="error" from="${nurse.jid}" to="${phone.jid}" id="m1"`, UNAVAILABLE))
    await desk.receivesNothing()
  })

conversation(
  'XEP-0280 §6.1: an error to a device that is gone is copied to those that are there',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    await phone.sends(message(`type="chat" to="${juliet.jid}" id="m1"`, BODY))
    await phone.leaves()
    await desk.ignores()
    await juliet.sends(message(`type="error" to="${phone.jid}" id="m1"`, UNAVAILABLE))
    await desk.receives(
      copy('received', desk, 'error', message(`type="error" from="${juliet.jid}" to="${phone.jid}" id="m1"`, UNAVAILABLE)),
    )
    await desk.receivesNothing()
  },
)

conversation(
  'XEP-0280 §10.3: a copy that bounces with all it held and the id of what was copied reaches nobody',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const { juliet, phone, desk, old } = await household(scene)
    await juliet.sends(message(`type="chat" to="${phone.jid}" id="m1"`, `${BODY}${RECEIPT}`))
    await phone.sends(message(`type="chat" to="${romeo}" id="m2"`, BODY))
    for (const actor of [juliet, phone, desk, old]) await actor.ignores()
    for (const id of ['m1', 'm2'])
      for (const content of ['', BODY, RECEIPT])
        await desk.sends(message(`type="error" to="${romeo}" id="${id}"`, `${content}${UNAVAILABLE}`))
    for (const actor of [juliet, phone, desk, old]) await actor.receivesNothing()
  },
)

conversation(
  'XEP-0280 §6.2: that all of these rules are followed is advertised',
  { modules: [...modules, disco] },
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    for (const to of [scene.domain, juliet.bareJid]) {
      await juliet.sends(xml`<iq type="get" id="d1" to="${to}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
      const [answer] = await juliet.collects()
      const features = answer?.getChild('query', 'http://jabber.org/protocol/disco#info')?.getChildren('feature') ?? []
      if (!features.some(({ attrs }) => attrs.var === 'urn:xmpp:carbons:rules:0')) throw new Error(`not advertised by ${to}`)
    }
  },
)

conversation('XEP-0280 §10.3: a copy that bounces reaches nobody', { modules }, async (scene) => {
  const { juliet, phone, desk, old } = await household(scene)
  await juliet.sends(message(`type="chat" to="${phone.jid}" id="m1"`, BODY))
  const [carbon] = await desk.collects()
  await desk.sends(
    xml`<message type="error" to="${carbon?.attrs.from}"><error type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`,
  )
  for (const actor of [phone, old]) await actor.ignores()
  for (const actor of [juliet, phone, desk, old]) await actor.receivesNothing()
})

conversation(
  'XEP-0280 §7, RFC 6121 §8.5.2.1.1: a device with a negative priority gets a copy, and the message still waits for the others',
  { modules },
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    const bot = await enabling(scene, `${romeo}/bot`, -1)
    await juliet.sends(message(`type="chat" to="${romeo}" id="m1"`, BODY))
    await bot.receives(
      copy(
        'received',
        bot,
        'chat',
        message(`type="chat" from="${juliet.jid}" to="${romeo}" id="m1"`, `${BODY}${stanzaId(romeo)}`),
      ),
    )
    const phone = await scene.connect(`${romeo}/phone`)
    await phone.sends('<presence/>')
    await phone.receivesInAnyOrder(
      xml`<presence from="${phone.jid}" to="${romeo}"/>`,
      xml`<presence from="${bot.jid}" to="${romeo}"><priority>-1</priority></presence>`,
      message(
        `type="chat" from="${juliet.jid}" to="${romeo}" id="m1"`,
        `${BODY}<delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>${stanzaId(romeo)}`,
      ),
    )
  },
)

conversation(
  'DESIGN P4: copies take nothing away from a device that lags behind: neither what is copied to it nor what is copied from it',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    await desk.stalls()
    const long = 'x'.repeat(100_000)
    for (let n = 0; n < 16; n++) await juliet.sends(message(`type="chat" to="${desk.jid}" id="n${n}"`, `<body>${long}</body>`))
    await juliet.sends(message(`type="chat" to="${phone.jid}" id="copied"`, BODY))
    await desk.stalls(false)
    const ids: (string | undefined)[] = []
    while (ids.length < 17) {
      const element = await desk.next()
      const forwarded = element.getChild('received', NS)?.getChild('forwarded', 'urn:xmpp:forward:0')
      ids.push(element.attrs.id ?? forwarded?.getChild('message', 'jabber:client')?.attrs.id)
    }
    const expected = ['copied', ...Array.from({ length: 16 }, (_, n) => `n${n}`)].sort()
    if ([...ids].sort().join() !== expected.join()) throw new Error(`the desk got ${ids.join()}`)
  },
)
