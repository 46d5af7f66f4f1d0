import { blocking } from '#server/modules/blocking.ts'
import { carbons } from '#server/modules/carbons.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { roster } from '#server/modules/roster.ts'
import type { Actor } from '#server/testing/actor.ts'
import { any, conversation, type Scene, xml } from '#server/testing/conversation.ts'

const modules = [presence, offline, carbons, roster, blocking]
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
const SM = 'urn:xmpp:sm:3'

const says = (id: string, to = ROMEO): string => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const heard = (id: string): string =>
  xml`<message type="chat" from="${JULIET}/balcony" to="${ROMEO}" id="${id}"><body>${id}</body><stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`
const late = (id: string): string =>
  xml`<message type="chat" from="${JULIET}/balcony" to="${ROMEO}" id="${id}"><body>${id}</body><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>
    <stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`
/** What the session said last is said again, also to its own account. */
const there = `<presence from="${ROMEO}/phone" to="${ROMEO}"/>`
const asked = `<r xmlns="${SM}"/>`
const acks = (h: number): string => `<a xmlns="${SM}" h="${h}"/>`
const resumed = (token: string, h: number): string => `<resumed xmlns="${SM}" previd="${token}" h="${h}"/>`

const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${SM}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

const resumesBy = async ({ visit, comesBy }: Scene, node: number, token: string, h: number): Promise<Actor> => {
  comesBy(node)
  const actor = await visit()
  await actor.logsIn('romeo', 'secret')
  await actor.sends(`<resume xmlns="${SM}" previd="${token}" h="${h}"/>`)
  actor.is(`${ROMEO}/phone`)
  return actor
}

/** Romeo is at home at node 0, Juliet at node 1. */
const both = async ({ comesOnline, comesBy }: Scene): Promise<{ readonly phone: Actor; readonly juliet: Actor }> => {
  comesBy(0)
  const phone = await comesOnline(`${ROMEO}/phone`)
  comesBy(1)
  const juliet = await comesOnline(`${JULIET}/balcony`)
  return { phone, juliet }
}

conversation(
  'XEP-0198 §5: a session is resumed by another node while its home lives, and goes on there',
  { modules, nodes: 2 },
  async (scene) => {
    const { phone, juliet } = await both(scene)
    const token = await enables(phone)
    await juliet.sends(says('m1'))
    await phone.receives(heard('m1'), asked)
    await phone.vanishes()
    await juliet.sends(says('m2'))
    const again = await resumesBy(scene, 1, token, 1)
    await again.receives(resumed(token, 0), late('m2'), asked)
    await again.sends(acks(2) + says('m3', JULIET) + asked)
    await again.receives(acks(1))
    await juliet.receives(
      xml`<message type="chat" from="${ROMEO}/phone" to="${JULIET}" id="m3"><body>m3</body><stanza-id xmlns="urn:xmpp:sid:0" by="${JULIET}" id="${any}"/></message>`,
    )
  },
)

conversation(
  'XEP-0198 §5: a session whose node was killed is resumed by another: nothing is lost, nothing comes twice',
  { modules, nodes: 2 },
  async (scene) => {
    const { phone, juliet } = await both(scene)
    const token = await enables(phone)
    await phone.sends(says('r1', JULIET) + asked)
    await phone.receives(acks(1))
    await juliet.ignores()
    await juliet.sends(says('m1') + says('m2') + says('m3'))
    await phone.receives(heard('m1'), asked, heard('m2'), heard('m3'))
    // It has acknowledged the first, and read the second.
    await phone.sends(acks(1))
    await scene.loses(0)
    await juliet.sends(says('m4'))
    const again = await resumesBy(scene, 1, token, 2)
    await again.receives(resumed(token, 1), late('m3'), asked, there, late('m4'))
    await again.sends(acks(5))
    await again.receivesNothing()
    await juliet.sends(says('m5'))
    await again.receives(heard('m5'), asked)
    await again.sends(acks(6))
    scene.comesBy(1)
    const tablet = await scene.comesOnline(`${ROMEO}/tablet`)
    await tablet.receivesNothing()
  },
)

conversation(
  'DESIGN P2: what the client of a killed node sends again after it has resumed is not stored twice',
  { modules, nodes: 2 },
  async (scene) => {
    const { phone, juliet } = await both(scene)
    const token = await enables(phone)
    await phone.sends(says('r1', JULIET) + asked + says('r2', JULIET))
    await phone.receives(acks(1))
    await juliet.ignores()
    await scene.loses(0)
    const again = await resumesBy(scene, 1, token, 0)
    await again.receives(`<resumed xmlns="${SM}" previd="${token}" h="${any}"/>`)
    await again.sends(says('r2', JULIET) + says('r3', JULIET))
    await juliet.receives(
      xml`<message type="chat" from="${ROMEO}/phone" to="${JULIET}" id="r3"><body>r3</body><stanza-id xmlns="urn:xmpp:sid:0" by="${JULIET}" id="${any}"/></message>`,
    )
    await juliet.receivesNothing()
  },
)

conversation(
  'XEP-0198 §5: what a session has asked for outlives its node: carbons, roster pushes, presence',
  { modules, nodes: 2, carriers: ['memory'] },
  async (scene) => {
    const { phone, juliet } = await both(scene)
    await scene.befriend(phone, juliet)
    const token = await enables(phone)
    await phone.sends('<iq type="get" id="q1"><query xmlns="jabber:iq:roster"/></iq>')
    await phone.sends('<iq type="set" id="q2"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
    await phone.ignores()
    await phone.sends(acks(2))
    await scene.loses(0)
    const again = await resumesBy(scene, 1, token, 2)
    await again.receives(resumed(token, 2))
    await again.collects()
    scene.comesBy(1)
    const tablet = await scene.comesOnline(`${ROMEO}/tablet`)
    await again.collects()
    await juliet.collects()
    await tablet.sends(says('m1', JULIET))
    const carbon = (await again.collects()).find(({ name }) => name === 'message')
    if (carbon?.getChild('sent', 'urn:xmpp:carbons:2') === undefined) throw new Error('there is no carbon')
    await tablet.sends('<iq type="set" id="q3"><query xmlns="jabber:iq:roster"><item jid="nurse@verona.example"/></query></iq>')
    const push = (await again.collects()).find(({ name }) => name === 'iq')
    if (push?.getChild('query', 'jabber:iq:roster') === undefined) throw new Error('there is no push')
    await juliet.sends('<presence><status>here</status></presence>')
    const told = (await again.collects()).find(({ name }) => name === 'presence')
    if (told?.getChildText('status') !== 'here') throw new Error('there is no presence')
  },
)

conversation(
  'a node that stops leaves its sessions to the others: clients resume there, and nobody is told that they left',
  { modules, nodes: 2 },
  async (scene) => {
    const { phone, juliet } = await both(scene)
    await scene.befriend(phone, juliet)
    const token = await enables(phone)
    await juliet.sends(says('m1'))
    await phone.receives(heard('m1'), asked)
    await scene.drains(0)
    await juliet.receivesNothing()
    await juliet.sends(says('m2'))
    const again = await resumesBy(scene, 1, token, 0)
    const came = await again.collects()
    const bodies = came.flatMap((each) => each.getChildText('body') ?? [])
    if (bodies.join() !== 'm1,m2') throw new Error(`came: ${bodies.join()}`)
    await again.sends(says('m3', JULIET) + asked)
    await again.receives(acks(1))
  },
)

conversation(
  'XEP-0198 §5: a record is for its own account, and for one client',
  { modules, nodes: 2, carriers: ['memory'] },
  async (scene) => {
    const { phone } = await both(scene)
    const token = await enables(phone)
    await scene.loses(0)
    const refused = `<failed xmlns="${SM}"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`
    scene.comesBy(1)
    await scene.createAccount('tybalt@verona.example')
    const tybalt = await scene.visit()
    await tybalt.logsIn('tybalt', 'secret')
    await tybalt.sends(`<resume xmlns="${SM}" previd="${token}" h="0"/>`)
    await tybalt.receives(refused)
    const again = await resumesBy(scene, 1, token, 0)
    await again.receives(resumed(token, 0))
    await again.ignores()
    const late = await resumesBy(scene, 1, `${token}x`, 0)
    await late.receives(refused)
  },
)
