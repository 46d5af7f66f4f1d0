import { expect } from 'vitest'
import { blocking } from '#server/modules/blocking.ts'
import { carbons } from '#server/modules/carbons.ts'
import { offline } from '#server/modules/offline.ts'
import { ping } from '#server/modules/ping.ts'
import { presence } from '#server/modules/presence.ts'
import type { Actor } from '#server/testing/actor.ts'
import { conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { parseStanza } from '#stanzas/stanza.ts'

/** Accounts that are at home at different nodes (decision 0010). */
const options = { modules: [presence, offline, carbons, blocking, ping], nodes: 2, carriers: ['memory'] } as const
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
const NS_SM = 'urn:xmpp:sm:3'
const ASKED = `<r xmlns="${NS_SM}"/>`
const acks = (h: number): string => `<a xmlns="${NS_SM}" h="${h}"/>`

const says = (id: string, to = ROMEO): string => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const bodies = async (actor: Actor): Promise<readonly string[]> =>
  (await actor.collects()).flatMap((each) => each.getChildText('body') ?? [])

/** Romeo is at home at node 0, Juliet at node 1. */
const both = async ({ comesOnline, comesBy }: Scene): Promise<{ readonly romeo: Actor; readonly juliet: Actor }> => {
  comesBy(0)
  const romeo = await comesOnline(`${ROMEO}/orchard`)
  comesBy(1)
  const juliet = await comesOnline(`${JULIET}/balcony`)
  return { romeo, juliet }
}

const enables = async (actor: Actor): Promise<void> => {
  await actor.sends(`<enable xmlns="${NS_SM}"/>`)
  await actor.receives(`<enabled xmlns="${NS_SM}"/>`)
}

conversation('RFC 6120 §10.1: messages, requests and presence keep their order between nodes', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  const all = Array.from({ length: 40 }, (_, n) => `m${n}`)
  const ask = xml`<iq type="get" id="q" to="${ROMEO}/orchard"><ping xmlns="urn:xmpp:ping"/></iq>`
  await juliet.sends(all.map((id) => says(id) + (id === 'm20' ? ask : '')).join(''))
  const came = (await romeo.collects()).map(({ attrs }) => attrs.id)
  expect(came).toEqual(all.flatMap((id) => (id === 'm20' ? [id, 'q'] : [id])))
})

conversation('DESIGN P1: a message to another node counts when it is durable there', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  await enables(juliet)
  scene.driver.hold()
  await juliet.sends(says('m1') + ASKED)
  await juliet.receivesNothing()
  await romeo.receivesNothing()
  scene.driver.release()
  await juliet.receives(acks(1))
  expect(await bodies(romeo)).toEqual(['m1'])
})

conversation('RFC 6120 §8.3: what is refused at another node is refused as at home', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  await romeo.sends(xml`<iq type="set" id="b1"><block xmlns="urn:xmpp:blocking"><item jid="${JULIET}"/></block></iq>`)
  await romeo.ignores()
  await juliet.sends(says('m1'))
  await juliet.receives(refusal('service-unavailable', { kind: 'message', id: 'm1', from: ROMEO, to: juliet.jid }))
  await juliet.sends(xml`<iq type="get" id="q1" to="${ROMEO}/orchard"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await juliet.receives(refusal('service-unavailable', { id: 'q1', from: `${ROMEO}/orchard`, to: juliet.jid }))
  await juliet.sends(says('m2', 'nobody@verona.example'))
  await juliet.receives(
    refusal('service-unavailable', { kind: 'message', id: 'm2', from: 'nobody@verona.example', to: juliet.jid }),
  )
})

conversation('XEP-0280 §6: a device at another node has a copy of what was sent to yet another', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  scene.comesBy(0)
  const desk = await scene.comesOnline(`${JULIET}/desk`)
  await desk.sends('<iq type="set" id="c1"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
  for (const actor of [desk, juliet, romeo]) await actor.ignores()
  await juliet.sends(says('m1'))
  expect(await bodies(romeo)).toEqual(['m1'])
  const [copy] = await desk.collects()
  expect(copy?.getChild('sent', 'urn:xmpp:carbons:2')).toBeDefined()
})

conversation('DESIGN P4: a message whose node was killed before it answered is there once', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  await enables(juliet)
  scene.driver.hold()
  await juliet.sends(says('m1') + says('m2') + ASKED)
  await juliet.receivesNothing()
  // What it had given to the store is stored, and nobody knows.
  await scene.loses(0)
  expect(romeo.hasEnded).toBe(true)
  scene.driver.release()
  scene.clock.advance('1s')
  await juliet.receives(acks(2))
  scene.comesBy(1)
  const again = await scene.comesOnline(`${ROMEO}/orchard`, '<presence><priority>1</priority></presence>')
  await again.receivesNothing()
  const stored = await scene.driver.log.range(again.bareJid, { limit: 10 })
  expect(stored.map(({ stanza }) => parseStanza(stanza).id)).toEqual(['m1', 'm2'])
})

conversation('DESIGN P2: a message that is sent again over a new link is there once', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  await enables(juliet)
  scene.driver.hold()
  await juliet.sends(says('m1') + ASKED)
  await scene.interrupts()
  await juliet.sends(says('m2'))
  scene.driver.release()
  scene.clock.advance('2s')
  await scene.settle()
  scene.clock.advance('2s')
  await juliet.receives(acks(1))
  expect(await bodies(romeo)).toEqual(['m1', 'm2'])
})

conversation('a message to an account that is at home nowhere waits for it, wherever it comes', options, async (scene) => {
  await scene.createAccount(ROMEO)
  scene.comesBy(1)
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  await juliet.sends(says('m1') + says('m2'))
  scene.comesBy(0)
  const romeo = await scene.connect(`${ROMEO}/orchard`)
  await romeo.sends('<presence/>')
  expect(await bodies(romeo)).toEqual(['m1', 'm2'])
})

conversation('an account that is deleted by one node is turned out of the other', options, async (scene) => {
  const { romeo, juliet } = await both(scene)
  // It is at home at node 0, and the operator asks that node.
  await scene.server.accounts.delete(JULIET as typeof juliet.bareJid)
  await juliet.receives(
    `<error xmlns="http://etherx.jabber.org/streams"><not-authorized xmlns="urn:ietf:params:xml:ns:xmpp-streams"/><text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">the account was deleted</text></error>`,
  )
  await romeo.sends(says('m1', JULIET))
  await romeo.receives(refusal('service-unavailable', { kind: 'message', id: 'm1', from: JULIET, to: romeo.jid }))
})
