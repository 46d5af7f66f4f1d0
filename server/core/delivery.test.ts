import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'

const modules = [presence, offline]
const romeo = 'romeo@verona.example'

const says = (type: string, to: string, body = 'Wherefore art thou?', id = 'm1'): string =>
  xml`<message type="${type}" to="${to}" id="${id}"><body>${body}</body></message>`

/** As it arrives when it is kept: with the recipient's stanza-id. */
const kept = (type: string, from: string, to: string, body = 'Wherefore art thou?', id = 'm1'): string =>
  xml`<message type="${type}" from="${from}" to="${to}" id="${id}"><body>${body}</body><stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`

/** As it arrives later: with the time it came, too. */
const late = (type: string, from: string, to: string, body: string, id: string, stamp: string = any): string =>
  xml`<message type="${type}" from="${from}" to="${to}" id="${id}"><body>${body}</body>
    <delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${stamp}"/><stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`

const plain = (type: string, from: string, to: string): string =>
  xml`<message type="${type}" from="${from}" to="${to}" id="m1"><body>Wherefore art thou?</body></message>`

/** Romeo with two devices, one that takes nothing, and one that never said that it is there. */
const household = async ({ comesOnline, connect }: Scene) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const phone = await comesOnline(`${romeo}/phone`)
  const desk = await comesOnline(`${romeo}/desk`, '<presence><priority>5</priority></presence>')
  const bot = await comesOnline(`${romeo}/bot`, '<presence><priority>-1</priority></presence>')
  const silent = await connect(`${romeo}/silent`)
  for (const actor of [phone, desk, bot, silent]) await actor.ignores()
  return { juliet, phone, desk, bot, silent }
}

for (const type of ['chat', 'normal']) {
  conversation(
    `RFC 6121 §8.5.2.1.1: ${type} to a bare JID reaches every resource whose priority is not negative`,
    { modules },
    async (scene) => {
      const { juliet, phone, desk, bot, silent } = await household(scene)
      await juliet.sends(says(type, romeo))
      for (const device of [phone, desk]) await device.receives(kept(type, juliet.jid, romeo))
      for (const actor of [bot, silent, juliet]) await actor.receivesNothing()
    },
  )

  conversation(
    `RFC 6121 §8.5.2.2.1: ${type} to an account that is away is kept, and comes once, in order, with its time`,
    { modules },
    async (scene) => {
      const { createAccount, comesOnline, connect, clock } = scene
      await createAccount(romeo)
      const juliet = await comesOnline('juliet@verona.example/balcony')
      for (const n of [1, 2, 3]) {
        await juliet.sends(says(type, romeo, `line ${n}`, `o${n}`))
        clock.advance('1m')
      }
      await juliet.receivesNothing()
      const phone = await connect(`${romeo}/phone`)
      await phone.receivesNothing()
      await phone.sends('<presence/>')
      await phone.receives(xml`<presence from="${phone.jid}" to="${any}"/>`)
      for (const n of [1, 2, 3])
        await phone.receives(late(type, juliet.jid, romeo, `line ${n}`, `o${n}`, `2026-01-01T00:0${n - 1}:00.000Z`))
      await phone.receivesNothing()
      await phone.leaves()
      const again = await connect(`${romeo}/phone`)
      await again.sends('<presence/>')
      await again.receives(xml`<presence from="${again.jid}" to="${any}"/>`)
      await again.receivesNothing()
    },
  )

  conversation(
    `RFC 6121 §8.5.3.1: ${type} to a full JID reaches that resource alone, even a negative or silent one`,
    { modules },
    async (scene) => {
      const { juliet, phone, desk, bot, silent } = await household(scene)
      for (const device of [bot, silent]) {
        await juliet.sends(says(type, device.jid))
        await device.receives(kept(type, juliet.jid, device.jid))
      }
      for (const actor of [phone, desk, juliet]) await actor.receivesNothing()
    },
  )

  conversation(
    `RFC 6121 §8.5.3.2.1: ${type} to a resource that is gone falls back to the bare JID`,
    { modules },
    async (scene) => {
      const { juliet, phone, desk, bot } = await household(scene)
      await juliet.sends(says(type, `${romeo}/gone`))
      for (const device of [phone, desk]) await device.receives(kept(type, juliet.jid, `${romeo}/gone`))
      await bot.receivesNothing()
    },
  )
}

conversation('RFC 6121 §8.5.2.2.1: only negative priorities count as away', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const bot = await comesOnline(`${romeo}/bot`, '<presence><priority>-1</priority></presence>')
  await juliet.sends(says('chat', romeo, 'later', 'n1'))
  await bot.receivesNothing()
  await bot.sends('<presence><priority>0</priority></presence>')
  await bot.receives(
    xml`<presence from="${bot.jid}" to="${any}"><priority>0</priority></presence>`,
    late('chat', juliet.jid, romeo, 'later', 'n1'),
  )
})

conversation(
  'RFC 6121 §8.5.2.1.1: headline to a bare JID reaches every resource that is not negative, and is never kept',
  { modules },
  async (scene) => {
    const { juliet, phone, desk, bot } = await household(scene)
    await juliet.sends(says('headline', romeo))
    for (const device of [phone, desk]) await device.receives(plain('headline', juliet.jid, romeo))
    await bot.receivesNothing()
    for (const device of [phone, desk, bot]) await device.leaves()
    await juliet.sends(says('headline', romeo))
    await juliet.receivesNothing()
    const back = await scene.connect(`${romeo}/phone`)
    await back.sends('<presence/>')
    await back.receives(xml`<presence from="${back.jid}" to="${any}"/>`)
    await back.receivesNothing()
  },
)

conversation(
  'RFC 6121 §8.5.2.1.1: groupchat to a bare JID, and §8.5.3.2.1 to a resource that is gone, is refused',
  { modules },
  async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    for (const to of [romeo, `${romeo}/gone`]) {
      await juliet.sends(says('groupchat', to))
      await juliet.receives(refusal('service-unavailable', { kind: 'message', id: 'm1', from: to, to: juliet.jid }))
    }
    await juliet.sends(says('groupchat', phone.jid))
    await phone.receives(plain('groupchat', juliet.jid, phone.jid))
    await desk.receivesNothing()
  },
)

conversation(
  'RFC 6121 §8.5.2.1.1, §8.5.3.2.1: an error to a bare JID or to nobody is dropped, and answered by nothing',
  { modules },
  async (scene) => {
    const { juliet, phone, desk } = await household(scene)
    const error = (to: string) =>
      xml`<message type="error" to="${to}" id="e1"><error type="cancel"><gone xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`
    for (const to of [romeo, `${romeo}/gone`, 'nobody@verona.example']) await juliet.sends(error(to))
    for (const actor of [juliet, phone, desk]) await actor.receivesNothing()
  },
)

conversation(
  'RFC 6121 §8.5.1: a message to an account that does not exist is refused, a headline dropped',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    for (const type of ['chat', 'normal', 'groupchat']) {
      await juliet.sends(says(type, 'nobody@verona.example'))
      await juliet.receives(
        refusal('service-unavailable', { kind: 'message', id: 'm1', from: 'nobody@verona.example', to: juliet.jid }),
      )
    }
    await juliet.sends(says('headline', 'nobody@verona.example'))
    await juliet.receivesNothing()
  },
)

conversation(
  'RFC 6121 §8.1: a message to another domain is refused as long as there is no way there',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(says('chat', 'hamlet@elsinore.example'))
    await juliet.receives(
      refusal('remote-server-not-found', { kind: 'message', id: 'm1', from: 'hamlet@elsinore.example', to: juliet.jid }),
    )
  },
)

conversation('RFC 6120 §8.3.3.8: an address that is none is refused', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  await juliet.sends(says('chat', 'ro meo@verona.example'))
  await juliet.receives(refusal('jid-malformed', { kind: 'message', id: 'm1', to: juliet.jid }))
  await juliet.sends(xml`<iq type="get" id="i1" to="@verona.example"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await juliet.receives(refusal('jid-malformed', { id: 'i1', to: juliet.jid }))
})

conversation('RFC 6120 §10.3.1: a message without an address is for the own account', { modules }, async ({ comesOnline }) => {
  const phone = await comesOnline(`${romeo}/phone`)
  const desk = await comesOnline(`${romeo}/desk`)
  await phone.ignores()
  await phone.sends(xml`<message type="chat" id="m1"><body>note to self</body></message>`)
  for (const device of [phone, desk])
    await device.receives(
      xml`<message type="chat" from="${phone.jid}" id="m1"><body>note to self</body><stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`,
    )
})

conversation(
  'XEP-0160 §3: a chat state by itself is not kept, and not refused',
  { modules },
  async ({ comesOnline, createAccount, connect }) => {
    await createAccount(romeo)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(
      xml`<message type="chat" to="${romeo}"><composing xmlns="http://jabber.org/protocol/chatstates"/></message>`,
    )
    await juliet.receivesNothing()
    const phone = await connect(`${romeo}/phone`)
    await phone.sends('<presence/>')
    await phone.receives(xml`<presence from="${phone.jid}" to="${any}"/>`)
    await phone.receivesNothing()
  },
)

const stateful = {
  'XEP-0184: a receipt': '<received xmlns="urn:xmpp:receipts" id="x1"/>',
  'XEP-0333: a displayed marker': '<displayed xmlns="urn:xmpp:chat-markers:0" id="x1"/>',
  'XEP-0444: a reaction': '<reactions xmlns="urn:xmpp:reactions:0" id="x1"><reaction>♥</reaction></reactions>',
  'XEP-0353: a call':
    '<propose xmlns="urn:xmpp:jingle-message:0" id="c1"><description xmlns="urn:xmpp:jingle:apps:rtp:1" media="audio"/></propose>',
  'XEP-0334 §4.4: what asks to be stored': '<x xmlns="urn:example:empty"/><store xmlns="urn:xmpp:hints"/>',
  'XEP-0384: what only its devices can read':
    '<encrypted xmlns="eu.siacs.conversations.axolotl"><header sid="1"/><payload>AAAA</payload></encrypted>',
}
for (const [what, payload] of Object.entries(stateful))
  conversation(`${what} reaches who was away`, { modules }, async ({ comesOnline, createAccount, connect }) => {
    await createAccount(romeo)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(xml`<message type="chat" to="${romeo}" id="s1">${payload}</message>`)
    const phone = await connect(`${romeo}/phone`)
    await phone.sends('<presence/>')
    await phone.receives(
      xml`<presence from="${phone.jid}" to="${any}"/>`,
      xml`<message type="chat" from="${juliet.jid}" to="${romeo}" id="s1">${payload}<delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>
        <stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`,
    )
  })

conversation(
  'XEP-0334 §4.2: no-store is delivered live without an id, and refused when nobody is there',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    const secret = xml`<message type="chat" to="${romeo}" id="h1"><body>burn this</body><no-store xmlns="urn:xmpp:hints"/></message>`
    await juliet.sends(secret)
    await phone.receives(
      xml`<message type="chat" from="${juliet.jid}" to="${romeo}" id="h1"><body>burn this</body><no-store xmlns="urn:xmpp:hints"/></message>`,
    )
    await phone.leaves()
    await juliet.sends(secret)
    await juliet.receives(refusal('service-unavailable', { kind: 'message', id: 'h1', from: romeo, to: juliet.jid }))
  },
)

conversation(
  'XEP-0359 §3: ids that claim to be ours are removed, those of others and origin ids stay',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    const others = '<stanza-id xmlns="urn:xmpp:sid:0" by="room@chat.example" id="r1"/><origin-id xmlns="urn:xmpp:sid:0" id="o1"/>'
    await juliet.sends(
      xml`<message type="chat" to="${romeo}" id="m1"><body>hi</body><stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="fake"/>
      <stanza-id xmlns="urn:xmpp:sid:0" by="ROMEO@verona.example" id="fake"/><stanza-id xmlns="urn:xmpp:sid:0" by="${juliet.bareJid}" id="fake"/>${others}</message>`,
    )
    await phone.receives(
      xml`<message type="chat" from="${juliet.jid}" to="${romeo}" id="m1"><body>hi</body>${others}<stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`,
    )
  },
)

conversation(
  'DESIGN P1: nobody sees a message before it is durable, and nothing of its sender overtakes it',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, driver, domain }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    driver.hold()
    await juliet.sends(says('chat', romeo, 'first', 'm1') + says('chat', romeo, 'second', 'm2'))
    await juliet.sends(xml`<message type="headline" to="${romeo}" id="m3"><body>third</body></message>`)
    await juliet.sends(xml`<iq type="get" id="p1" to="${domain}"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await phone.receivesNothing()
    await juliet.receivesNothing()
    driver.release()
    await phone.receives(
      kept('chat', juliet.jid, romeo, 'first', 'm1'),
      kept('chat', juliet.jid, romeo, 'second', 'm2'),
      xml`<message type="headline" from="${juliet.jid}" to="${romeo}" id="m3"><body>third</body></message>`,
    )
    await juliet.receives(xml`<iq type="result" id="p1" from="${domain}" to="${juliet.jid}"/>`)
  },
)

conversation(
  'DESIGN P4: a message that cannot be stored is refused, seen by nobody, and the next one passes',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, driver }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    driver.failNext(new Error('disk full'))
    await juliet.sends(says('chat', romeo, 'lost', 'm1'))
    await juliet.receives(refusal('resource-constraint', { kind: 'message', id: 'm1', from: romeo, to: juliet.jid }))
    await phone.receivesNothing()
    await juliet.sends(says('chat', romeo, 'kept', 'm2'))
    await phone.receives(kept('chat', juliet.jid, romeo, 'kept', 'm2'))
  },
)

conversation(
  'DESIGN §5: what a client took that then vanished is not sent again, what it did not take is',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, connect }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    await juliet.sends(says('chat', romeo, 'taken', 'm1'))
    await phone.receives(kept('chat', juliet.jid, romeo, 'taken', 'm1'))
    await phone.stalls()
    await juliet.sends(says('chat', romeo, 'not taken', 'm2'))
    await phone.vanishes()
    const again = await connect(`${romeo}/phone`)
    await again.sends('<presence/>')
    await again.receives(xml`<presence from="${again.jid}" to="${any}"/>`, late('chat', juliet.jid, romeo, 'not taken', 'm2'))
    await again.receivesNothing()
  },
)
