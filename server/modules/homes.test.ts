import { expect } from 'vitest'
import { type Actor, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { listens, outcome, publishes } from '#server/testing/pep-stanzas.ts'
import { blocking } from './blocking.ts'
import { bookmarks } from './bookmarks.ts'
import { mam } from './mam.ts'
import { offline } from './offline.ts'
import { pep } from './pep.ts'
import { presence } from './presence.ts'
import { ticks } from './ticks.ts'
import { vcard } from './vcard.ts'

/** What an account has in memory where it is at home (decision 0010). */
const modules = [presence, offline, blocking, mam, pep, bookmarks, vcard, ticks]
const options = { modules, nodes: 2, carriers: ['memory'] as const }
const ROMEO = 'romeo@verona.example'
const TUNE = 'http://jabber.org/protocol/tune'

const QUESTIONS = [
  '<query xmlns="jabber:iq:roster"/>',
  '<blocklist xmlns="urn:xmpp:blocking"/>',
  '<prefs xmlns="urn:xmpp:mam:2"/>',
  `<pubsub xmlns="http://jabber.org/protocol/pubsub"><items node="${TUNE}"/></pubsub>`,
  '<vCard xmlns="vcard-temp"/>',
]

/** Everything the account finds when it asks. */
const finds = async (actor: Actor): Promise<string> => {
  const found: string[] = []
  for (const [index, question] of QUESTIONS.entries()) {
    await actor.sends(xml`<iq type="get" id="q${index}">${question}</iq>`)
    for (const stanza of await actor.collects()) found.push(JSON.stringify(stanza.children))
  }
  return found.join('\n')
}

const changes = async (actor: Actor, name: string): Promise<void> => {
  const sets = [
    `<query xmlns="jabber:iq:roster"><item jid="${name}@verona.example" name="${name}"/></query>`,
    `<block xmlns="urn:xmpp:blocking"><item jid="${name}@capulet.example"/></block>`,
    `<prefs xmlns="urn:xmpp:mam:2" default="never"><always><jid>${name}@verona.example</jid></always></prefs>`,
    `<vCard xmlns="vcard-temp"><FN>${name}</FN></vCard>`,
  ]
  for (const [index, set] of sets.entries()) await actor.sends(xml`<iq type="set" id="s${index}">${set}</iq>`)
  for (const { name: kind, attrs } of await actor.collects())
    if (kind === 'iq' && attrs.type === 'error') throw new Error(`${attrs.id} was refused`)
  const tune = `<tune xmlns="${TUNE}"><title>${name}</title></tune>`
  expect(await outcome(actor, publishes(TUNE, 'current', tune))).toBe('result')
  await actor.ignores()
}

/** Each connection is to the next node, and an account without one goes to where it is wanted. */
const comes = async (scene: Scene): Promise<Actor> => {
  scene.clock.advance('20s')
  return listens(scene, `${ROMEO}/orchard`)
}

conversation('an account that comes to another node, and back, finds what it has changed there', options, async (scene) => {
  const names = ['mercutio', 'benvolio', 'balthasar', 'paris']
  for (const [index, name] of names.entries()) {
    const romeo = await comes(scene)
    // The first node has every second one.
    expect(scene.server.sessions.of(romeo.bareJid)).toHaveLength(index % 2 === 0 ? 1 : 0)
    const before = await finds(romeo)
    for (const earlier of names.slice(0, index)) expect(before).toContain(earlier)
    expect(before).not.toContain(name)
    await changes(romeo, name)
    expect(await finds(romeo)).toContain(name)
    await romeo.leaves()
  }
})

conversation('an account that is away at one node is told nothing by what that node remembers of it', options, async (scene) => {
  const first = await comes(scene)
  await finds(first)
  await first.leaves()
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  await juliet.sends(xml`<message to="${ROMEO}" type="chat" id="m1"><body>Where art thou?</body></message>`)
  const second = await scene.connect(`${ROMEO}/street`)
  await second.sends(xml`<iq type="set" id="b"><block xmlns="urn:xmpp:blocking"><item jid="${juliet.bareJid}"/></block></iq>`)
  await second.ignores()
  await juliet.sends(xml`<message to="${ROMEO}" type="chat" id="m2"><body>Wherefore?</body></message>`)
  const [refused] = await juliet.collects()
  expect(refused?.attrs).toMatchObject({ id: 'm2', type: 'error' })
})

conversation(
  'RFC 6121 §4.6.3: who was told by name hears that a session has left that went on at another node',
  options,
  async (scene) => {
    scene.comesBy(0)
    const phone = await scene.comesOnline(`${ROMEO}/phone`)
    scene.comesBy(1)
    const tybalt = await scene.comesOnline('tybalt@verona.example/square')
    await phone.sends('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    const [enabled] = await phone.collects()
    await phone.sends(xml`<presence to="${tybalt.bareJid}"/><r xmlns="urn:xmpp:sm:3"/>`)
    await phone.ignores()
    await tybalt.receives(xml`<presence from="${phone.jid}" to="${tybalt.bareJid}"/>`)
    await scene.loses(0)
    scene.comesBy(1)
    const again = await scene.visit()
    await again.logsIn('romeo', 'secret')
    await again.sends(xml`<resume xmlns="urn:xmpp:sm:3" previd="${enabled?.attrs.id}" h="0"/>`)
    again.is(phone.jid)
    await again.ignores()
    await again.sends('<presence type="unavailable"/>')
    await tybalt.receives(xml`<presence type="unavailable" from="${phone.jid}" to="${tybalt.bareJid}"/>`)
  },
)
