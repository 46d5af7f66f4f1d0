import { expect } from 'vitest'
import { type Actor, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import type { Element } from '#stanzas/element.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { presence } from '../presence.ts'

const manyAtOnce = { limits: { rates: false } }
const options = { modules: [presence, offline, mam], carriers: ['memory'] as const }
const NS = 'urn:xmpp:mam:2'
const RETRACT = 'urn:xmpp:message-retract:1'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const says = (actor: Actor, to: string, id: string, content = `<body>${id}</body>`): Promise<void> =>
  actor.sends(xml`<message type="chat" to="${to}" id="${id}">${content}</message>`)
const retracts = (actor: Actor, to: string, original: string, id = 'r1'): Promise<void> =>
  actor.sends(xml`<message type="chat" to="${to}"${id === '' ? '' : ` id="${id}"`}><retract xmlns="${RETRACT}" id="${original}"/>
    <fallback xmlns="urn:xmpp:fallback:0" for="${RETRACT}"/><body>retracted</body></message>`)

/** The messages in the actor's archive. */
const archived = async (actor: Actor): Promise<readonly Element[]> => {
  await actor.ignores()
  await actor.sends(xml`<iq type="set" id="q"><query xmlns="${NS}"/></iq>`)
  const results = (await actor.collects()).slice(0, -1)
  return results.flatMap(
    (each) =>
      each.getChild('result', NS)?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('message', 'jabber:client') ?? [],
  )
}
/** What is in the actor's archive, by id; a tombstone as `id†` with the id of the retraction. */
const archiveOf = async (actor: Actor): Promise<readonly string[]> =>
  (await archived(actor)).map((message) => {
    const tombstone = message.getChild('retracted', RETRACT)
    if (tombstone === undefined) return message.attrs.id ?? ''
    expect(message.getChildren(), 'a tombstone holds nothing else').toHaveLength(1)
    return `${message.attrs.id}†${tombstone.attrs.id}`
  })

const pair = async (scene: Scene) => ({
  romeo: await scene.connect(`${ROMEO}/orchard`),
  juliet: await scene.comesOnline(`${JULIET}/balcony`),
})

conversation(
  'XEP-0424 §4, §5: both sides find a tombstone in the place of the message, and the retraction behind it',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    await romeo.sends(
      xml`<message type="chat" to="${juliet.jid}" id="m1" xml:lang="en"><body>My secret</body><subject>It</subject><thread>t</thread></message>`,
    )
    await says(romeo, JULIET, 'm2')
    const [before] = await archived(juliet)
    scene.clock.advance('10s')
    await retracts(romeo, JULIET, 'm1')
    const [tombstone] = await archived(juliet)
    expect(tombstone?.attrs).toEqual(before?.attrs)
    expect(tombstone?.getChild('retracted', RETRACT)?.attrs).toEqual({
      id: 'r1',
      stamp: new Date(scene.clock.nowMs()).toISOString(),
    })
    for (const actor of [juliet, romeo]) expect(await archiveOf(actor)).toEqual(['m1†r1', 'm2', 'r1'])
  },
)

conversation(
  'XEP-0424 §5: the retraction reaches the other side live and offline, and what waits there is the tombstone',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    await says(romeo, JULIET, 'm1')
    await juliet.ignores()
    await retracts(romeo, JULIET, 'm1')
    expect((await juliet.next()).getChild('retract', RETRACT)?.attrs.id).toBe('m1')
    await juliet.leaves()
    await says(romeo, JULIET, 'm2')
    await retracts(romeo, JULIET, 'm2', 'r2')
    const phone = await scene.comesOnline(`${JULIET}/phone`, '')
    await phone.sends('<presence/>')
    const messages = (await phone.collects()).filter(({ name }) => name === 'message')
    expect(messages.map(({ attrs }) => attrs.id)).toEqual(['m2', 'r2'])
    expect(messages[0]?.getChildText('body')).toBeUndefined()
    expect(messages[0]?.getChild('retracted', RETRACT)?.attrs.id).toBe('r2')
  },
)

conversation('XEP-0424 §5: another device of the sender may retract, nobody else', options, async (scene) => {
  const { romeo, juliet } = await pair(scene)
  const tybalt = await scene.connect('tybalt@verona.example/square')
  await says(romeo, JULIET, 'm1')
  await says(juliet, romeo.jid, 'j1')
  await retracts(juliet, ROMEO, 'm1', 'r1')
  await retracts(tybalt, JULIET, 'm1', 'r2')
  await retracts(tybalt, ROMEO, 'j1', 'r3')
  await retracts(romeo, JULIET, 'j1', 'r4')
  expect(await archiveOf(juliet)).toEqual(['m1', 'j1', 'r1', 'r2', 'r4'])
  expect(await archiveOf(romeo)).toEqual(['m1', 'j1', 'r1', 'r3', 'r4'])
  const street = await scene.connect(`${ROMEO}/street`)
  await retracts(street, juliet.jid, 'm1', 'r5')
  expect(await archiveOf(juliet)).toEqual(['m1†r5', 'j1', 'r1', 'r2', 'r4', 'r5'])
})

conversation('XEP-0424 §5: an occupant of a room retracts no private message of another', options, async (scene) => {
  const { juliet } = await pair(scene)
  const muc = '<x xmlns="http://jabber.org/protocol/muc#user"/>'
  const first = await scene.connect('coven@verona.example/first')
  const second = await scene.connect('coven@verona.example/second')
  await says(first, JULIET, 'm1', `<body>m1</body>${muc}`)
  await retracts(second, JULIET, 'm1', 'r1')
  expect(await archiveOf(juliet)).toEqual(['m1', 'r1'])
  await retracts(first, JULIET, 'm1', 'r2')
  expect(await archiveOf(juliet)).toEqual(['m1†r2', 'r1', 'r2'])
})

conversation(
  'XEP-0424 §5.1: it is found by its id or its origin-id, however that is written, the newest of several',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    await says(romeo, JULIET, 'm1', '<body>m1</body><origin-id xmlns="urn:xmpp:sid:0" id="o1"/>')
    await romeo.sends(xml`<message type="chat" to="${JULIET}" id="a&#38;b"><body>m2</body></message>`)
    await says(romeo, JULIET, 'same')
    await says(romeo, JULIET, 'same')
    await retracts(romeo, JULIET, 'o1', 'r1')
    await retracts(romeo, JULIET, 'a&amp;b', 'r2')
    await retracts(romeo, JULIET, 'same', 'r3')
    await retracts(romeo, JULIET, 'unknown', 'r4')
    expect(await archiveOf(juliet)).toEqual(['m1†r1', 'a&b†r2', 'same', 'same†r3', 'r1', 'r2', 'r3', 'r4'])
  },
)

conversation(
  'XEP-0424 §4: what was retracted keeps its first tombstone, retractions themselves stay, and one without an id leaves everything',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    await says(romeo, JULIET, 'm1')
    await retracts(romeo, JULIET, 'm1', '')
    await retracts(romeo, JULIET, '', 'r0')
    expect(await archiveOf(juliet)).toEqual(['m1', '', 'r0'])
    await retracts(romeo, JULIET, 'm1', 'r1')
    await retracts(romeo, JULIET, 'm1', 'r2')
    await retracts(romeo, JULIET, 'r1', 'r3')
    expect(await archiveOf(juliet)).toEqual(['m1†r1', '', 'r0', 'r1', 'r2', 'r3'])
  },
)

conversation('XEP-0424 §5: a message to oneself is retracted as any other', options, async (scene) => {
  const { juliet } = await pair(scene)
  await says(juliet, JULIET, 'note')
  await retracts(juliet, JULIET, 'note')
  expect(await archiveOf(juliet)).toEqual(['note†r1', 'r1'])
})

conversation(
  'XEP-0424 §5: it is looked for among the latest thousand messages of the sender',
  { ...options, config: manyAtOnce },
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    for (const id of ['m0', 'm1']) await says(romeo, juliet.jid, id)
    await romeo.sends(
      Array.from({ length: 998 }, () => xml`<message type="chat" to="${juliet.jid}" id="x"><body>x</body></message>`).join(''),
    )
    await retracts(romeo, juliet.jid, 'm1', 'r1')
    await retracts(romeo, juliet.jid, 'm0', 'r0')
    await juliet.ignores()
    const first = (await archiveOf(juliet)).slice(0, 2)
    expect(first).toEqual(['m0', 'm1†r1'])
  },
)

conversation('XEP-0424 §5: without a place in an archive there is nothing to leave a tombstone in', options, async (scene) => {
  const { romeo, juliet } = await pair(scene)
  await says(romeo, JULIET, 'm1')
  await romeo.sends(
    xml`<message type="chat" to="${JULIET}" id="r1"><retract xmlns="${RETRACT}" id="m1"/><no-store xmlns="urn:xmpp:hints"/></message>`,
  )
  expect(await archiveOf(juliet)).toEqual(['m1'])
})

conversation(
  'XEP-0308 §3, XEP-0444 §3: corrections and reactions are in the archive beside what they are about',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    await says(romeo, JULIET, 'm1')
    await says(romeo, JULIET, 'm2', '<body>m1, corrected</body><replace xmlns="urn:xmpp:message-correct:0" id="m1"/>')
    await says(
      juliet,
      romeo.jid,
      'j1',
      '<reactions xmlns="urn:xmpp:reactions:0" id="m1"><reaction>👋</reaction></reactions><store xmlns="urn:xmpp:hints"/>',
    )
    for (const actor of [romeo, juliet]) {
      const all = await archived(actor)
      expect(all.map(({ attrs }) => attrs.id)).toEqual(['m1', 'm2', 'j1'])
      expect(all[0]?.getChildText('body')).toBe('m1')
      expect(all[1]?.getChild('replace', 'urn:xmpp:message-correct:0')?.attrs.id).toBe('m1')
      expect(all[2]?.getChild('reactions', 'urn:xmpp:reactions:0')?.getChildText('reaction')).toBe('👋')
    }
  },
)

conversation('XEP-0184 §5.4, XEP-0333 §4: receipts and markers are in the archive, typing is not', options, async (scene) => {
  const { romeo, juliet } = await pair(scene)
  await says(romeo, JULIET, 'typing', '<composing xmlns="http://jabber.org/protocol/chatstates"/>')
  await says(romeo, JULIET, 'm1')
  await says(juliet, romeo.jid, 'j1', '<received xmlns="urn:xmpp:receipts" id="m1"/>')
  await says(juliet, romeo.jid, 'j2', '<displayed xmlns="urn:xmpp:chat-markers:0" id="m1"/>')
  expect(await archiveOf(juliet)).toEqual(['m1', 'j1', 'j2'])
})

conversation(
  'XEP-0424 §2: the server and its accounts say that they know retractions',
  { modules: [presence, mam], carriers: ['memory'] },
  async (scene) => {
    const juliet = await scene.connect(`${JULIET}/balcony`)
    for (const [to, wanted] of [
      [JULIET, [RETRACT, `${RETRACT}#tombstone`]],
      [scene.domain, [RETRACT]],
    ] as const) {
      await juliet.sends(xml`<iq type="get" id="d" to="${to}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
      const info = (await juliet.next()).getChild('query', 'http://jabber.org/protocol/disco#info')
      const features = info?.getChildren('feature').map((each) => each.attrs.var)
      expect(features).toEqual(expect.arrayContaining([...wanted]))
    }
  },
)
