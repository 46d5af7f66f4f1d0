import { expect } from 'vitest'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import {
  asks,
  asksItems,
  eventOf,
  featuresOf,
  itemsOf,
  listens,
  outcome,
  publishes,
  publishOptions,
  toldOf,
} from '#server/testing/pep-stanzas.ts'
import { serialize } from '#stanzas/serialize.ts'
import { carbons } from './carbons.ts'
import { mam } from './mam.ts'
import { presence } from './presence.ts'
import { readMarkers } from './read-markers.ts'

const modules = [presence, carbons, mam, readMarkers]
const memory = { modules, carriers: ['memory'] } as const
const MDS = 'urn:xmpp:mds:displayed:0'
const TICKS = 'urn:waxwing:ticks:0'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
const ROOM = 'room@conference.verona.example'
const OPTIONS = publishOptions({
  persist_items: 'true',
  max_items: 'max',
  send_last_published_item: 'never',
  access_model: 'whitelist',
})

const displayed = (id: string, by = JULIET) =>
  `<displayed xmlns="${MDS}"><stanza-id xmlns="urn:xmpp:sid:0" by="${by}" id="${id}"/></displayed>`
const marker = (id = 'm1') => `<displayed xmlns="urn:xmpp:chat-markers:0" id="${id}"/>`
const says = (body: string, to = JULIET) => xml`<message type="chat" to="${to}" id="${body}"><body>${body}</body></message>`
const marks = (chat: string, id: string, by = JULIET) => publishes(MDS, chat, displayed(id, by), OPTIONS)

/** Juliet with two devices, and Romeo, who is to know nothing. */
const enter = async (scene: Scene) => {
  const balcony = await scene.comesOnline(`${JULIET}/balcony`)
  const phone = await listens(scene, `${JULIET}/phone`, MDS)
  const romeo = await listens(scene, `${ROMEO}/orchard`, MDS)
  await scene.befriend(balcony, romeo)
  for (const actor of [balcony, phone]) {
    await actor.sends('<iq type="set" id="c1"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
    await actor.ignores()
  }
  return { balcony, phone, romeo }
}

/** Romeo says it, and Juliet's archive knows it by this id. */
const idOf = async (romeo: Actor, balcony: Actor, body: string): Promise<string> => {
  await romeo.sends(says(body))
  const [got] = (await balcony.collects()).filter((stanza) => stanza.getChildText('body') === body)
  return got?.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id ?? ''
}
const marked = async (actor: Actor) =>
  Object.fromEntries(
    (await itemsOf(actor, MDS)).map(([chat, payload]) => [chat, payload?.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id]),
  )
const enables = async (actor: Actor) => {
  await actor.ignores()
  expect(await outcome(actor, xml`<iq type="set" id="e1"><enable xmlns="${TICKS}"/></iq>`)).toBe('result')
}
const stateOf = async (actor: Actor, messageId: string) =>
  (
    await asks(
      actor,
      xml`<iq type="get" id="q1"><ticks xmlns="${TICKS}"><tick peer="${JULIET}" message-id="${messageId}"/></ticks></iq>`,
    )
  )
    .getChild('ticks', TICKS)
    ?.getChild('tick')?.attrs.state
const archived = async (actor: Actor) => {
  await actor.ignores()
  await actor.sends('<iq type="set" id="a1"><query xmlns="urn:xmpp:mam:2"/></iq>')
  return (await actor.collects()).map((element) => serialize(element, '')).join('')
}

conversation('XEP-0490 §4.5.2: an account says that it helps', { modules }, async (scene) => {
  const { balcony } = await enter(scene)
  expect(await featuresOf(balcony)).toContain('urn:xmpp:mds:server-assist:0')
})

conversation(
  'XEP-0490 §4.5.3, §5.2: one message marks the chat on every device; what is for the server goes no further, nor into the archive or copies',
  { modules },
  async (scene) => {
    const { balcony, phone, romeo } = await enter(scene)
    const id = await idOf(romeo, balcony, 'm1')
    for (const actor of [balcony, phone, romeo]) await actor.ignores()
    await balcony.sends(xml`<message to="${ROMEO}">${marker()}${displayed(id)}</message>`)
    await romeo.receives(
      xml`<message from="${balcony.jid}" to="${ROMEO}">${marker()}<stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
    )
    const told = await phone.overhears()
    expect(told).toContain(`<items node='${MDS}'><item id='${ROMEO}'>`)
    expect(told).toContain('<sent')
    expect(told.split('</event>').at(-1)).not.toContain(MDS)
    expect(await archived(balcony)).not.toContain(MDS)
    expect(await archived(romeo)).not.toContain(MDS)
    expect(await archived(romeo)).toContain('urn:xmpp:chat-markers:0')
    expect(await marked(phone)).toEqual({ [ROMEO]: id })
    // §7: the node is the account's alone.
    await romeo.ignores()
    await romeo.sends(asksItems(MDS, JULIET))
    expect((await romeo.next()).attrs.type).toBe('error')
    expect(await outcome(phone, marks(ROOM, 'x', ROOM))).toBe('result')
  },
)

conversation('XEP-0490 §4.5.3: the event on the other devices is that of a publication', { modules }, async (scene) => {
  const { balcony, phone, romeo } = await enter(scene)
  const id = await idOf(romeo, balcony, 'm1')
  await phone.sends('<iq type="set" id="c1"><disable xmlns="urn:xmpp:carbons:2"/></iq>')
  await phone.ignores()
  await balcony.sends(xml`<message to="${ROMEO}">${marker()}${displayed(id)}</message>`)
  await phone.receives(eventOf(MDS, ROMEO, displayed(id), phone))
  await romeo.collects()
  await romeo.receivesNothing()
})

conversation('XEP-0490 §5.1: the state moves forward only, and what is not new is not told again', { modules }, async (scene) => {
  const { balcony, phone, romeo } = await enter(scene)
  const [one, two, three] = [await idOf(romeo, balcony, 'm1'), await idOf(romeo, balcony, 'm2'), await idOf(romeo, balcony, 'm3')]
  const assisted = (id: string) => xml`<message to="${ROMEO}" type="chat">${marker()}${displayed(id)}</message>`
  await phone.ignores()
  await balcony.sends(assisted(two))
  expect(await toldOf(phone)).toEqual([`${MDS} ${ROMEO}`])
  for (const again of [one, two]) {
    await balcony.sends(assisted(again))
    expect(await toldOf(phone)).toEqual([])
    expect(await marked(phone)).toEqual({ [ROMEO]: two })
  }
  // Nor by a client that publishes itself; it is told what is true.
  expect(await outcome(balcony, marks(ROMEO, one))).toBe('result')
  await phone.receives(eventOf(MDS, ROMEO, displayed(two), phone))
  expect(await outcome(balcony, marks(ROMEO, three))).toBe('result')
  expect(await marked(phone)).toEqual({ [ROMEO]: three })
})

conversation(
  'XEP-0490 §5.2: ids of others and of nobody have no order, and are kept as they come',
  { modules },
  async (scene) => {
    const { balcony, phone, romeo } = await enter(scene)
    for (const [chat, id, by] of [
      [ROOM, 'zz', ROOM],
      [ROOM, 'aa', ROOM],
      [`${ROOM}/nick`, '00000000001', JULIET],
      ['no JID @ all', '0f710f2b-52ed-4d52-b928-784dad74a52b', JULIET],
      [ROMEO, 'vvvvvvvvvvv', JULIET],
      [ROMEO, '7vvvvvvvvvv', JULIET],
    ] as const) {
      expect(await outcome(balcony, marks(chat, id, by))).toBe('result')
      expect((await marked(phone))[chat]).toBe(id)
    }
    // One that is yet to come holds nothing up.
    const id = await idOf(romeo, balcony, 'm1')
    expect(await outcome(balcony, marks(ROMEO, id))).toBe('result')
    expect((await marked(phone))[ROMEO]).toBe(id)
  },
)

conversation('XEP-0490 §4.1, XEP-0060 §7.1.3.6: what is no mark is refused', { modules }, async (scene) => {
  const { balcony, phone } = await enter(scene)
  const stanzaId = '<stanza-id xmlns="urn:xmpp:sid:0" by="a@b.example" id="1"/>'
  for (const payload of [
    `<displayed xmlns="${MDS}"/>`,
    `<displayed xmlns="${MDS}">${stanzaId}${stanzaId}</displayed>`,
    `<displayed xmlns="${MDS}"><stanza-id xmlns="urn:xmpp:sid:0" id="1"/></displayed>`,
    `<displayed xmlns="${MDS}"><stanza-id xmlns="urn:xmpp:sid:0" by="a@b.example" id=""/></displayed>`,
    `<read xmlns="${MDS}">${stanzaId}</read>`,
    marker(),
  ])
    expect(await outcome(balcony, publishes(MDS, ROMEO, payload, OPTIONS))).toBe('bad-request invalid-payload')
  expect(await marked(phone)).toEqual({})
})

conversation('XEP-0490 §4.5.3, §7: whatever is in it, it is taken out, and the message goes on', { modules }, async (scene) => {
  const { balcony, phone, romeo } = await enter(scene)
  for (const actor of [balcony, phone, romeo]) await actor.ignores()
  const stanzaId = '<stanza-id xmlns="urn:xmpp:sid:0" by="a@b.example" id="1"/>'
  for (const inner of [
    `<displayed xmlns="${MDS}"/>`,
    `<displayed xmlns="${MDS}">${stanzaId}${stanzaId}</displayed>`,
    `<displayed xmlns="${MDS}"/><displayed xmlns="${MDS}">${stanzaId}</displayed>`,
  ]) {
    await balcony.sends(xml`<message to="${ROMEO}" type="chat">${marker()}${inner}</message>`)
    await romeo.receives(
      xml`<message from="${balcony.jid}" to="${ROMEO}" type="chat">${marker()}<stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
    )
  }
  await balcony.sends(
    xml`<message to="${romeo.jid}" type="error" id="x1">${displayed('1')}<error type="cancel"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`,
  )
  expect(await romeo.overhears()).not.toContain(`<displayed xmlns='${MDS}'`)
  expect(await toldOf(phone)).toEqual([])
  expect(await marked(phone)).toEqual({})
})

conversation('XEP-0490 §4.5.3: a message that has nothing else still marks, and only that', memory, async (scene) => {
  const { balcony, phone, romeo } = await enter(scene)
  const id = await idOf(romeo, balcony, 'm1')
  await romeo.ignores()
  await balcony.sends(xml`<message to="${ROMEO}">${displayed(id)}</message>`)
  expect(await romeo.overhears()).not.toContain(MDS)
  expect(await marked(phone)).toEqual({ [ROMEO]: id })
})

conversation(
  'XEP-0490 §1, ticks §5: a mark that is published moves what the account has read, which the sender is not told',
  { modules },
  async (scene) => {
    const { balcony, phone, romeo } = await enter(scene)
    const id = await idOf(romeo, balcony, 'm1')
    for (const actor of [romeo, phone]) await enables(actor)
    expect(await outcome(balcony, marks(ROMEO, id))).toBe('result')
    await phone.receivesInAnyOrder(
      eventOf(MDS, ROMEO, displayed(id), phone),
      xml`<message from="${JULIET}" to="${phone.jid}"><ticks xmlns="${TICKS}"><watermark peer="${ROMEO}" id="${id}" stamp="${any}"/></ticks><no-store xmlns="urn:xmpp:hints"/></message>`,
    )
    await romeo.receivesNothing()
    expect(await stateOf(romeo, 'm1')).toBe('delivered')

    // With a marker, which says so to the sender as well.
    await balcony.ignores()
    const next = await idOf(romeo, balcony, 'm2')
    await balcony.sends(xml`<message to="${ROMEO}">${marker('m2')}${displayed(next)}</message>`)
    expect(await stateOf(romeo, 'm2')).toBe('read')
  },
)

conversation(
  'XEP-0490 §5.2: a node that cannot be made does not hold the message up',
  { modules: [...modules], config: { modules: { pep: { maxNodes: 1 } } } },
  async (scene) => {
    const { balcony, phone, romeo } = await enter(scene)
    const id = await idOf(romeo, balcony, 'm1')
    expect(await outcome(balcony, publishes('urn:one', 'a', '<x xmlns="urn:one"/>'))).toBe('result')
    await romeo.ignores()
    await balcony.sends(xml`<message to="${ROMEO}">${marker()}${displayed(id)}</message>`)
    expect((await romeo.collects()).map(({ name }) => name)).toEqual(['message'])
    expect(await outcome(phone, asksItems(MDS))).toBe('item-not-found')
  },
)

conversation('XEP-0490 §5.1: a storm of marks ends at the furthest', memory, async (scene) => {
  const { balcony, phone, romeo } = await enter(scene)
  const ids: string[] = []
  for (let nth = 0; nth < 30; nth++) ids.push(await idOf(romeo, balcony, `m${nth}`))
  const assisted = (id: string) => xml`<message to="${ROMEO}">${marker()}${displayed(id)}</message>`
  const furthest = ids.at(-1) ?? ''
  await balcony.sends([furthest, ...ids, ...ids.toReversed()].map(assisted).join(''))
  await scene.settle()
  expect(await toldOf(phone)).toEqual([`${MDS} ${ROMEO}`])
  expect(await marked(phone)).toEqual({ [ROMEO]: furthest })
})
