import { expect } from 'vitest'
import { any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { eventOf, itemsOf, listens } from '#server/testing/pep-stanzas.ts'
import { StorageError } from '#storage/storage-error.ts'
import { pep } from '../pep.ts'
import { presence } from '../presence.ts'

const modules = [presence, pep]
const PUBSUB = 'http://jabber.org/protocol/pubsub'
const TUNE = 'http://jabber.org/protocol/tune'
const JULIET = 'juliet@verona.example/balcony'

const song = (title: string): string => `<tune xmlns="${TUNE}"><title>${title}</title></tune>`
const publishes = (title: string, node = TUNE, id = 'current'): string =>
  xml`<iq type="set" id="${title}"><pubsub xmlns="${PUBSUB}"><publish node="${node}"><item id="${id}">${song(title)}</item></publish></pubsub></iq>`

/** Juliet publishes; Romeo shares presence with her and wants to know. */
const couple = async (scene: Scene) => {
  const juliet = await listens(scene, JULIET)
  const romeo = await listens(scene, 'romeo@verona.example/orchard', TUNE)
  await scene.befriend(juliet, romeo)
  await juliet.sends(publishes('first'))
  for (const actor of [juliet, romeo]) await actor.ignores()
  const published = (title: string, node = TUNE): string =>
    xml`<iq type="result" id="${title}" from="${juliet.bareJid}" to="${JULIET}"><pubsub xmlns="${PUBSUB}"><publish node="${node}"><item id="current"/></publish></pubsub></iq>`
  const told = (title: string): string => eventOf(TUNE, 'current', song(title), romeo, juliet.bareJid)
  return { juliet, romeo, published, told }
}

conversation('RFC 6120 §10.1: many events of one account at once come in order, and none is lost', { modules }, async (scene) => {
  const { juliet, romeo, published, told } = await couple(scene)
  const titles = Array.from({ length: 40 }, (_, i) => `t${i}`)
  await juliet.sends(titles.map((title) => publishes(title)).join(''))
  await juliet.receives(...titles.map((title) => published(title)))
  await romeo.receives(...titles.map(told))
  expect((await itemsOf(juliet, TUNE)).map(([, payload]) => payload?.getChild('title')?.text())).toEqual(['t39'])
})

conversation('RFC 6120 §10.1: what else the client sends keeps its place between them', { modules }, async (scene) => {
  const { juliet, romeo, published, told } = await couple(scene)
  const message = '<message type="chat" id="m1" to="romeo@verona.example"><body>Art thou not Romeo?</body></message>'
  await juliet.sends(
    [
      ...['a', 'b'].map((title) => publishes(title)),
      message,
      publishes('other', 'urn:other'),
      xml`<iq type="set" id="torn"><pubsub xmlns="${PUBSUB}"><publish node="${TUNE}"><item><a xmlns="urn:a"/><b xmlns="urn:b"/></item></publish></pubsub></iq>`,
      ...['c', 'd'].map((title) => publishes(title)),
    ].join(''),
  )
  await juliet.receives(
    published('a'),
    published('b'),
    published('other', 'urn:other'),
    xml`<iq type="error" id="torn" from="${juliet.bareJid}" to="${JULIET}"><error type="modify" code="400"><bad-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/><invalid-payload xmlns="${PUBSUB}#errors"/></error></iq>`,
    published('c'),
    published('d'),
  )
  await romeo.receives(
    told('a'),
    told('b'),
    xml`<message type="chat" id="m1" from="${JULIET}" to="romeo@verona.example"><body>Art thou not Romeo?</body><stanza-id xmlns="urn:xmpp:sid:0" id="${any}" by="romeo@verona.example"/></message>`,
    told('c'),
    told('d'),
  )
})

conversation('one that is refused between them is answered in its place', { modules }, async (scene) => {
  const { juliet, romeo, published, told } = await couple(scene)
  await juliet.sends(publishes('a') + publishes('bad', TUNE, 'x'.repeat(2_000)) + publishes('b'))
  await juliet.receives(
    published('a'),
    xml`<iq type="error" id="bad" from="${juliet.bareJid}" to="${JULIET}"><error type="modify" code="406"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/><text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">this cannot be the id of an item</text></error></iq>`,
    published('b'),
  )
  await romeo.receives(told('a'), told('b'))
})

conversation('events that are not durable are not seen, and their publisher is told', { modules }, async (scene) => {
  const { juliet, romeo, published, told } = await couple(scene)
  scene.driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  await juliet.sends(publishes('a') + publishes('b'))
  for (const id of ['a', 'b']) await juliet.receives(refusal('resource-constraint', { id, from: juliet.bareJid, to: JULIET }))
  await romeo.receivesNothing()
  await juliet.sends(publishes('c'))
  await juliet.receives(published('c'))
  await romeo.receives(told('c'))
})

conversation('XEP-0198 §4: none counts as handled before it is durable', { modules, carriers: ['memory'] }, async (scene) => {
  const { juliet } = await couple(scene)
  await juliet.sends('<enable xmlns="urn:xmpp:sm:3"/>')
  await juliet.receives('<enabled xmlns="urn:xmpp:sm:3"/>')
  scene.driver.hold()
  await juliet.sends(`${publishes('a')}${publishes('b')}<r xmlns="urn:xmpp:sm:3"/>`)
  await juliet.receivesNothing()
  scene.driver.release()
  const came = await juliet.collects()
  expect(came.filter(({ name }) => name === 'iq' || name === 'a').map(({ attrs }) => attrs.id ?? `h ${attrs.h}`)).toEqual([
    'a',
    'b',
    'h 2',
  ])
})
