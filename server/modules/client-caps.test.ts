import { expect, test } from 'vitest'
import { digest } from '#server/base/digest.ts'
import { nullLog } from '#server/base/log.ts'
import { defineModule } from '#server/core/module.ts'
import { type Actor, any, assembleServer, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { capsHash } from '#stanzas/caps-hash.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { ProvenFeatures } from './client-caps/proven-features.ts'
import { type ClientCapsApi, clientCaps } from './client-caps.ts'
import { presence } from './presence.ts'

const INFO = 'http://jabber.org/protocol/disco#info'
const TUNE = 'http://jabber.org/protocol/tune'
const MOOD = 'http://jabber.org/protocol/mood'
const IDENTITY = '<identity category="client" type="pc" name="Exodus"/>'

let api: ClientCapsApi | undefined
let heard: string[] = []
const listening = defineModule({
  name: 'listening',
  summary: 'Writes down what becomes known.',
  needs: { clientCaps },
  start({ needs }) {
    api = needs.clientCaps
    heard = []
    api.onKnown((session, features) => heard.push(`${session.resource} ${[...features].join(' ')}`))
    return {}
  },
})
const modules = [presence, listening]
/** What is known is looked at in the server. */
const options = { modules, nodes: 1 } as const

const verOf = (features: readonly string[], hash = 'sha-1') =>
  capsHash({ identities: [{ category: 'client', type: 'pc', name: 'Exodus' }], features, forms: [] }, hash, digest) ?? ''
const says = (ver: string, hash = 'sha-1') =>
  xml`<presence><c xmlns="http://jabber.org/protocol/caps" hash="${hash}" node="urn:exodus" ver="${ver}"/></presence>`
const question = (to: Actor, ver: string) =>
  xml`<iq type="get" id="${any}" from="verona.example" to="${to.jid}"><query xmlns="${INFO}" node="urn:exodus#${ver}"/></iq>`
const listed = (features: readonly string[]) => features.map((feature) => `<feature var="${feature}"/>`).join('')
const answer = (id: string | undefined, features: readonly string[], type = 'result') =>
  xml`<iq type="${type}" id="${id}" to="verona.example"><query xmlns="${INFO}">${IDENTITY}${listed(features)}</query></iq>`

/** Is asked, and gives the id of the question. */
const isAsked = async (actor: Actor, ver: string): Promise<string | undefined> =>
  (await actor.receives(question(actor, ver)))[0]?.attrs.id
/** Comes with a claim, and reads its own presence. */
const comes = async ({ connect }: Scene, jid: string, ver: string, hash = 'sha-1'): Promise<Actor> => {
  const actor = await connect(jid)
  await actor.sends(says(ver, hash))
  return actor
}
const self = (actor: Actor, ver: string) =>
  says(ver).replace('<presence>', `<presence from="${actor.jid}" to="${actor.bareJid}">`)
const knows = ({ server }: Scene, actor: Actor): readonly string[] | undefined => {
  for (const session of server.sessions.of(actor.bareJid)) {
    const features = session.jid === actor.jid ? api?.featuresOf(session) : undefined
    if (features !== undefined) return [...features]
  }
  return undefined
}

conversation('XEP-0115 §6.2: a client is asked what its hash stands for, and the next one is not', options, async (scene) => {
  const features = [`${TUNE}+notify`, TUNE]
  const ver = verOf(features)
  const juliet = await comes(scene, 'juliet@verona.example/balcony', ver)
  const id = await isAsked(juliet, ver)
  expect(knows(scene, juliet)).toBeUndefined()
  await juliet.receives(self(juliet, ver))
  await juliet.sends(answer(id, features))
  expect(knows(scene, juliet)).toEqual(features)

  const romeo = await comes(scene, 'romeo@verona.example/orchard', ver)
  await romeo.receives(self(romeo, ver))
  await romeo.receivesNothing()
  const [session] = scene.server.sessions.of(romeo.bareJid)
  expect(session && api?.isInterested(session, TUNE)).toBe(true)
  expect(session && api?.isInterested(session, MOOD)).toBe(false)
  const [other] = scene.server.sessions.of(juliet.bareJid)
  expect(session && api?.featuresOf(session)).toBe(other && api?.featuresOf(other))
  expect(heard).toEqual([`balcony ${features.join(' ')}`, `orchard ${features.join(' ')}`])
})

conversation(
  'XEP-0115 §6.1: with other features comes another hash, and with the same one or none nothing changes',
  options,
  async (scene) => {
    const [first, second] = [verOf([TUNE]), verOf([MOOD])]
    const juliet = await comes(scene, 'juliet@verona.example/balcony', first)
    await juliet.sends(answer(await isAsked(juliet, first), [TUNE]))
    await juliet.sends(says(first))
    await juliet.sends('<presence/>')
    expect(knows(scene, juliet)).toEqual([TUNE])
    await juliet.ignores()
    await juliet.sends(says(second))
    expect(knows(scene, juliet)).toBeUndefined()
    await juliet.sends(answer(await isAsked(juliet, second), [MOOD]))
    await juliet.sends(says(first))
    expect(heard).toEqual([`balcony ${TUNE}`, `balcony ${MOOD}`, `balcony ${TUNE}`])
    await juliet.sends('<presence type="unavailable"/>')
    expect(knows(scene, juliet)).toBeUndefined()
  },
)

conversation('XEP-0115 §5.4: many who make one claim at the same time are one question', options, async (scene) => {
  const ver = verOf([TUNE])
  const juliet = await comes(scene, 'juliet@verona.example/balcony', ver)
  const id = await isAsked(juliet, ver)
  const romeo = await comes(scene, 'romeo@verona.example/orchard', ver)
  await romeo.receives(self(romeo, ver))
  await romeo.receivesNothing()
  await juliet.sends(answer(id, [TUNE]))
  expect([knows(scene, juliet), knows(scene, romeo)]).toEqual([[TUNE], [TUNE]])
})

conversation(
  'XEP-0115 §9.3: what the hash does not prove is believed of nobody else, and the next one is asked',
  options,
  async (scene) => {
    const ver = verOf([TUNE])
    const tybalt = await comes(scene, 'tybalt@verona.example/square', ver)
    const id = await isAsked(tybalt, ver)
    const juliet = await comes(scene, 'juliet@verona.example/balcony', ver)
    await juliet.receives(self(juliet, ver))
    await tybalt.sends(answer(id, [MOOD]))
    expect(knows(scene, tybalt)).toEqual([MOOD])
    expect(knows(scene, juliet)).toBeUndefined()
    await juliet.sends(answer(await isAsked(juliet, ver), [TUNE]))
    expect([knows(scene, tybalt), knows(scene, juliet)]).toEqual([[MOOD], [TUNE]])
  },
)

conversation(
  'XEP-0115 §5.4: whoever does not answer holds nobody up for long, and is followed by twice as many',
  options,
  async (scene) => {
    const ver = verOf([TUNE])
    const tybalt = await comes(scene, 'tybalt@verona.example/square', ver)
    await isAsked(tybalt, ver)
    const actors: Actor[] = []
    for (const name of ['juliet', 'romeo', 'paris']) {
      const actor = await comes(scene, `${name}@verona.example/here`, ver)
      await actor.receives(self(actor, ver))
      actors.push(actor)
    }
    const [juliet, romeo, paris] = actors
    if (juliet === undefined || romeo === undefined || paris === undefined) throw new Error('three came')
    scene.clock.advance('30s')
    await isAsked(juliet, ver)
    const id = await isAsked(romeo, ver)
    await paris.receivesNothing()
    await romeo.sends(answer(id, [TUNE]))
    expect([tybalt, ...actors].map((actor) => knows(scene, actor))).toEqual([undefined, [TUNE], [TUNE], [TUNE]])
  },
)

conversation('XEP-0115 §5.4: an unknown hash function proves nothing to others', options, async (scene) => {
  for (const name of ['juliet', 'romeo']) {
    const actor = await comes(scene, `${name}@verona.example/here`, 'whatever', 'md5')
    await actor.sends(answer(await isAsked(actor, 'whatever'), [TUNE]))
    expect(knows(scene, actor)).toEqual([TUNE])
  }
})

conversation('XEP-0115 §8.1: the same hash by another function is another claim', options, async (scene) => {
  const juliet = await comes(scene, 'juliet@verona.example/balcony', verOf([TUNE], 'sha-256'), 'sha-256')
  await juliet.sends(answer(await isAsked(juliet, verOf([TUNE], 'sha-256')), [TUNE]))
  const romeo = await comes(scene, 'romeo@verona.example/orchard', verOf([TUNE], 'sha-256'), 'sha-1')
  await isAsked(romeo, verOf([TUNE], 'sha-256'))
})

conversation(
  'XEP-0115 §9.3: a hash without its function, one that is too long, and directed presence are no claims',
  options,
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    const caps = (more: string) => `<c xmlns="http://jabber.org/protocol/caps" node="urn:exodus" ${more}/>`
    for (const more of ['ver="0.9"', `hash="sha-1" ver="${'A'.repeat(129)}"`, 'hash="sha-1"', `hash="${'s'.repeat(33)}" ver="A"`])
      await juliet.sends(`<presence>${caps(more)}</presence>`)
    await juliet.sends(`<presence to="romeo@verona.example">${caps('hash="sha-1" ver="A"')}</presence>`)
    expect((await juliet.collects()).map(({ name }) => name)).toEqual(Array(4).fill('presence'))
  },
)

conversation(
  'XEP-0115 §5.4: an error, nonsense, or more features than any client has mean that nothing is known',
  options,
  async (scene) => {
    const many = Array.from({ length: 501 }, (_, i) => `urn:feature:${i}`)
    const long = Array.from({ length: 20 }, (_, i) => `urn:${i}:${'x'.repeat(1_000)}`)
    const cases = [
      (id?: string) => answer(id, [TUNE], 'error'),
      (id?: string) => xml`<iq type="result" id="${id}" to="verona.example"/>`,
      (id?: string) => xml`<iq type="result" id="${id}" to="verona.example"><query xmlns="${INFO}"><feature/></query></iq>`,
      (id?: string) => answer(id, many),
      (id?: string) => answer(id, long),
    ]
    for (const [i, reply] of cases.entries()) {
      const juliet = await comes(scene, `juliet@verona.example/${i}`, verOf(i === 4 ? long : many))
      await juliet.sends(reply((await juliet.next()).attrs.id))
      expect(knows(scene, juliet)).toBeUndefined()
      await juliet.leaves()
    }
    expect(heard).toEqual([])
  },
)

conversation('XEP-0198 §5: a question that was lost with the connection is asked again', options, async (scene) => {
  const ver = verOf([TUNE])
  const juliet = await scene.connect('juliet@verona.example/balcony')
  await juliet.sends('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
  const previd = (await juliet.next()).attrs.id ?? ''
  await juliet.sends(says(ver))
  await juliet.vanishes()
  scene.clock.advance('31s')
  await scene.settle()
  const again = await scene.visit()
  await again.logsIn('juliet', 'secret')
  again.is(juliet.jid)
  await again.sends(xml`<resume xmlns="urn:xmpp:sm:3" previd="${previd}" h="0"/>`)
  const ids = (await again.collects()).flatMap(({ name, attrs }) => (name === 'iq' ? [attrs.id] : []))
  expect(new Set(ids).size).toBe(2)
  await again.sends(answer(ids.at(-1), [TUNE]))
  expect(knows(scene, again)).toEqual([TUNE])
})

test('what was proved is known after a restart, and what was not seen for longest is forgotten', async () => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const store = driver.documents<{ readonly features: readonly string[] }>('client-caps/proven')
  const before = new ProvenFeatures(store, 2, nullLog)
  for (const key of ['a', 'b']) before.add({ key, features: new Set([key]) })
  before.get('a')
  before.add({ key: 'c', features: new Set(['c']) })
  const after = new ProvenFeatures(store, 2, nullLog)
  await after.load()
  expect(['a', 'b', 'c'].map((key) => [...(after.get(key)?.features ?? [])])).toEqual([['a'], [], ['c']])
  const server = await assembleServer({ modules }, clock, driver)
  await server.stop()
  const fewer = new ProvenFeatures(store, 1, nullLog)
  await fewer.load()
  expect([fewer.size, (await store.list('proven')).length]).toEqual([1, 1])
  await driver.close()
})

conversation('DESIGN P5: a client that answers nothing is asked a few things at once', options, async (scene) => {
  const juliet = await scene.connect('juliet@verona.example/balcony')
  const vers = Array.from({ length: 12 }, (_, i) => verOf([`${TUNE}${i}`]))
  for (const ver of vers) await juliet.sends(says(ver))
  const asked = (await juliet.collects()).filter((stanza) => stanza.getChild('query', INFO) !== undefined)
  expect(asked).toHaveLength(8)
  await juliet.sends(answer(asked[0]?.attrs.id, []))
  await juliet.sends(says(verOf([MOOD])))
  await juliet.sends(answer(await isAsked(juliet, verOf([MOOD])), [MOOD]))
  expect(knows(scene, juliet)).toEqual([MOOD])
})

conversation('XEP-0115 §5.4: what was proved at one node is asked at no other', { modules, nodes: 2 }, async (scene) => {
  const features = [`${MOOD}+notify`]
  const ver = verOf(features)
  const juliet = await comes(scene, 'juliet@verona.example/balcony', ver)
  const [asked] = (await juliet.collects()).filter(({ name }) => name === 'iq')
  await juliet.sends(answer(asked?.attrs.id, features))
  const romeo = await comes(scene, 'romeo@verona.example/orchard', ver)
  await romeo.receives(self(romeo, ver))
  await romeo.receivesNothing()
})
