import { expect } from 'vitest'
import { mam } from '#server/modules/mam.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'

/** Decision 0010: what a lost node had on its way to the store lands when its accounts are at home elsewhere. */
const options = { modules: [presence, offline, mam], nodes: 2, carriers: ['memory'] as const }
const message = (id: string, body: string) =>
  `<message type="chat" id="${id}" to="juliet@verona.example"><body>${body}</body></message>`

const comesBy = (scene: Scene, node: number, jid: string): Promise<Actor> => {
  scene.comesBy(node)
  return scene.comesOnline(jid)
}
const idsOf = async (actor: Actor): Promise<readonly string[]> =>
  (await actor.collects()).flatMap(({ name, attrs }) => (name === 'message' ? [attrs.id ?? ''] : []))
const archived = async (actor: Actor): Promise<number> => {
  await actor.sends('<iq type="set" id="mam"><query xmlns="urn:xmpp:mam:2"/></iq>')
  return (await actor.collects()).filter(({ name }) => name === 'message').length
}
/** Long enough for every look. */
const looks = async ({ clock, settle }: Scene): Promise<void> => {
  for (const wait of ['3s', '10s', '60s']) {
    clock.advance(wait)
    await settle()
  }
}

conversation('what lands late is sent to those who came back before it did, once', options, async (scene) => {
  const romeo = await comesBy(scene, 0, 'romeo@verona.example/orchard')
  await comesBy(scene, 0, 'juliet@verona.example/balcony')
  const late = scene.delays(0)
  await romeo.sends(xml`${message('m1', 'But soft!')}`)
  await scene.loses(0)
  const juliet = await comesBy(scene, 1, 'juliet@verona.example/balcony')
  await late.land()
  await juliet.receivesNothing()
  scene.clock.advance('3s')
  await scene.settle()
  await juliet.receives(xml`<message type="chat" id="m1" from="romeo@verona.example/orchard" to="juliet@verona.example">
    <body>But soft!</body><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>
    <stanza-id xmlns="urn:xmpp:sid:0" by="juliet@verona.example" id="${any}"/></message>`)
  await looks(scene)
  await juliet.receivesNothing()
  expect(await archived(juliet)).toBe(1)
})

conversation('what landed late and was sent here again meanwhile is there once, and was sent once', options, async (scene) => {
  const benvolio = await comesBy(scene, 1, 'benvolio@verona.example/street')
  await comesBy(scene, 0, 'juliet@verona.example/balcony')
  const late = scene.delays(0)
  for (const id of ['m1', 'm2']) await benvolio.sends(xml`${message(id, id)}`)
  await scene.loses(0)
  scene.comesBy(1)
  const juliet = await scene.connect('juliet@verona.example/balcony')
  await juliet.sends('<presence/>')
  await benvolio.sends(xml`${message('m3', 'm3')}`)
  expect(await idsOf(juliet)).toEqual(['m1', 'm2', 'm3'])
  await late.land()
  await looks(scene)
  await juliet.receivesNothing()
  expect(await archived(juliet)).toBe(3)
  expect(await archived(benvolio)).toBe(3)
})

conversation('who was away gets once what landed late and was sent again', options, async (scene) => {
  const benvolio = await comesBy(scene, 1, 'benvolio@verona.example/street')
  const gone = await comesBy(scene, 0, 'juliet@verona.example/balcony')
  const late = scene.delays(0)
  await benvolio.sends(xml`${message('m1', 'm1')}`)
  await scene.loses(0)
  expect(gone.hasEnded).toBe(true)
  scene.clock.advance('1s')
  await scene.settle()
  await late.land()
  await looks(scene)
  scene.comesBy(1)
  const juliet = await scene.connect('juliet@verona.example/balcony')
  await juliet.sends('<presence/>')
  expect(await idsOf(juliet)).toEqual(['m1'])
})
