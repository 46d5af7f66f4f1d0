import { expect } from 'vitest'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import type { Element } from '#stanzas/element.ts'
import { carbons } from '../carbons.ts'
import { csi } from '../csi.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { presence } from '../presence.ts'

const options = { modules: [presence, offline, carbons, csi, mam], carriers: ['memory'] as const }
const NS = 'urn:xmpp:mam:2'
const SM = 'urn:xmpp:sm:3'
const ROMEO = 'romeo@verona.example'

const says = (id: string, to = ROMEO): string => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${SM}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}
const reads = (actor: Actor, content = ''): Promise<void> =>
  actor.sends(xml`<iq type="set" id="q"><query xmlns="${NS}">${content}</query></iq>`)
const acks = (actor: Actor, h: number): Promise<void> => actor.sends(`<a xmlns="${SM}" h="${h}"/>`)
const pending = async ({ server, driver }: Scene): Promise<number> => {
  await driver.check()
  return server.ledger.countPending(ROMEO as Actor['bareJid'])
}

/** What came of messages: `id` as it is, `[id]` in an archive's result, `«id»` with a delay, `(id)` as a copy. */
const nameOf = (element: Element): string | undefined => {
  const inner = (outer: Element | undefined) =>
    outer?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('message', 'jabber:client')?.attrs.id
  const shown = inner(element.getChild('result', NS))
  if (shown !== undefined) return `[${shown}]`
  const copied = inner(element.getChild('received', 'urn:xmpp:carbons:2') ?? element.getChild('sent', 'urn:xmpp:carbons:2'))
  if (copied !== undefined) return `(${copied})`
  if (element.name === 'iq') return 'iq'
  if (element.name !== 'message') return undefined
  return element.getChild('delay', 'urn:xmpp:delay') === undefined ? element.attrs.id : `«${element.attrs.id}»`
}
const hears = async (actor: Actor, ...names: readonly string[]): Promise<void> =>
  expect((await actor.collects()).map(nameOf).filter((name) => name !== undefined)).toEqual(names)

/** Juliet has written `m1` and `m2` to Romeo, who has no device. */
const waiting = async (scene: Scene): Promise<Actor> => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  await scene.createAccount(ROMEO)
  await juliet.sends(says('m1') + says('m2'))
  expect(await pending(scene)).toBe(2)
  return juliet
}

conversation(
  'XEP-0313 §6.1.1: what a client has read in its archive and acknowledged does not come again',
  options,
  async (scene) => {
    await waiting(scene)
    const phone = await scene.connect(`${ROMEO}/phone`)
    await enables(phone)
    await reads(phone)
    await hears(phone, '[m1]', '[m2]', 'iq')
    expect(await pending(scene)).toBe(2)
    await acks(phone, 3)
    expect(await pending(scene)).toBe(0)
    await phone.sends('<presence/>')
    await hears(phone)
    const desk = await scene.comesOnline(`${ROMEO}/desk`)
    await hears(desk)
  },
)

conversation('XEP-0313 §6.1.1: without XEP-0198 it is enough that the network took the page', options, async (scene) => {
  await waiting(scene)
  const phone = await scene.connect(`${ROMEO}/phone`)
  await reads(phone)
  await hears(phone, '[m1]', '[m2]', 'iq')
  expect(await pending(scene)).toBe(0)
  await phone.sends('<presence/>')
  await hears(phone)
})

conversation(
  'XEP-0313 §6.1.1: what is on its way in a page does not come again either, and is lost no more than other messages',
  options,
  async (scene) => {
    await waiting(scene)
    const phone = await scene.connect(`${ROMEO}/phone`)
    const token = await enables(phone)
    await reads(phone)
    await phone.sends('<presence/>')
    await hears(phone, '[m1]', '[m2]', 'iq')
    await phone.vanishes()
    const back = await scene.visit()
    await back.logsIn('romeo', 'secret')
    await back.sends(`<resume xmlns="${SM}" previd="${token}" h="1"/>`)
    await hears(back, '[m2]', 'iq')
    expect(await pending(scene)).toBe(1)
    await acks(back, 3 + 1)
    expect(await pending(scene)).toBe(0)
  },
)

conversation(
  'XEP-0313 §6.1.1: what was not acknowledged when the connection is lost for good comes as offline messages, and pages themselves never do',
  options,
  async (scene) => {
    const juliet = await waiting(scene)
    await juliet.sends(says('m3'))
    const phone = await scene.connect(`${ROMEO}/phone`)
    await enables(phone)
    await reads(phone)
    await acks(phone, 1)
    await reads(phone)
    await phone.vanishes()
    scene.clock.advance('5m')
    await scene.settle()
    const next = await scene.comesOnline(`${ROMEO}/desk`, '')
    await next.sends('<presence/>')
    await hears(next, '«m2»', '«m3»')
    expect(await pending(scene)).toBe(0)
    await reads(next)
    await hears(next, '[m1]', '[m2]', '[m3]', 'iq')
  },
)

conversation('XEP-0313 §6.1.1: another device that comes meanwhile gets what nobody has acknowledged', options, async (scene) => {
  await waiting(scene)
  const phone = await scene.connect(`${ROMEO}/phone`)
  await enables(phone)
  await reads(phone, '<set xmlns="http://jabber.org/protocol/rsm"><max>1</max></set>')
  await acks(phone, 2)
  const desk = await scene.connect(`${ROMEO}/desk`)
  await desk.sends('<presence/>')
  await hears(desk, '«m2»')
  await phone.ignores()
  await phone.sends('<presence/>')
  await hears(phone)
})

conversation(
  'XEP-0313 §6.1.1: what came after the device was there, and it has read, does not come again',
  options,
  async (scene) => {
    const juliet = await waiting(scene)
    const phone = await scene.connect(`${ROMEO}/phone`)
    await enables(phone)
    await juliet.sends(says('m3'))
    await reads(phone)
    await hears(phone, '[m1]', '[m2]', '[m3]', 'iq')
    await acks(phone, 4)
    await juliet.sends(says('m4'))
    await phone.sends('<presence/>')
    await hears(phone, '«m4»')
    await juliet.sends(says('m5'))
    await hears(phone, 'm5')
  },
)

conversation(
  'XEP-0313 §6.1.1: a client that is behind and reads its archive instead goes on behind what it has read',
  { ...options, config: { streamManagement: { maxUnackedStanzas: 20 } } },
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    const phone = await scene.comesOnline(`${ROMEO}/phone`)
    await phone.ignores()
    await enables(phone)
    for (const id of ['m1', 'm2', 'm3', 'm4', 'm5']) await juliet.sends(says(id))
    await hears(phone, 'm1', 'm2', 'm3')
    await reads(phone, '<set xmlns="http://jabber.org/protocol/rsm"><max>4</max></set>')
    await hears(phone, '[m1]', '[m2]', '[m3]', '[m4]', 'iq')
    await acks(phone, 8)
    await hears(phone, '«m5»')
    await acks(phone, 9)
    expect(await pending(scene)).toBe(0)
  },
)

const alone = { ...options, nodes: 1 } as const
conversation('XEP-0313 §6.1.1: reading what one has had already takes nothing from the others', alone, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await scene.comesOnline(`${ROMEO}/phone`)
  await phone.ignores()
  await enables(phone)
  await juliet.sends(says('m1'))
  await reads(phone)
  await hears(phone, 'm1', '[m1]', 'iq')
  expect(await pending(scene)).toBe(1)
  await acks(phone, 1)
  expect(await pending(scene)).toBe(0)
  await acks(phone, 3)
  expect(scene.server.ledger.counts.taken).toBe(1)
})

conversation(
  'XEP-0280 §6.1, XEP-0352 §5.1: results are neither copied to other devices nor held back from an inactive one',
  options,
  async (scene) => {
    await waiting(scene)
    const desk = await scene.connect(`${ROMEO}/desk`)
    const phone = await scene.connect(`${ROMEO}/phone`)
    for (const actor of [desk, phone]) await actor.sends('<iq type="set" id="c"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
    await desk.ignores()
    await phone.ignores()
    await phone.sends('<inactive xmlns="urn:xmpp:csi:0"/>')
    await reads(phone)
    await hears(phone, '[m1]', '[m2]', 'iq')
    await hears(desk)
  },
)
