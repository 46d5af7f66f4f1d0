import { expect } from 'vitest'
import { digest } from '#server/base/digest.ts'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { capsHash } from '#stanzas/caps-hash.ts'
import { blocking } from './blocking.ts'
import { csi } from './csi.ts'
import { pep } from './pep.ts'
import { presence } from './presence.ts'

const modules = [presence, blocking, csi, pep]
const PUBSUB = 'http://jabber.org/protocol/pubsub'
const INFO = 'http://jabber.org/protocol/disco#info'
const ITEMS = 'http://jabber.org/protocol/disco#items'
const TUNE = 'http://jabber.org/protocol/tune'
const MOOD = 'http://jabber.org/protocol/mood'
const BOOKMARKS = 'urn:xmpp:bookmarks:1'

const JULIET = 'juliet@verona.example/balcony'
const ROMEO = 'romeo@verona.example/orchard'

// ---- clients that say what they want

const featuresFor = (nodes: readonly string[]) => nodes.map((node) => `${node}+notify`)
const verOf = (nodes: readonly string[]) =>
  capsHash({ identities: [{ category: 'client', type: 'pc' }], features: featuresFor(nodes), forms: [] }, 'sha-1', digest) ?? ''
const claims = (nodes: readonly string[]) =>
  xml`<presence><c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="urn:client" ver="${verOf(nodes)}"/></presence>`

/** Broadcasts presence that says that these nodes are wanted, and answers when it is asked. */
const wants = async (actor: Actor, ...nodes: readonly string[]): Promise<void> => {
  await actor.sends(claims(nodes))
  for (const stanza of await actor.collects()) {
    if (stanza.getChild('query', INFO) === undefined) continue
    const features = featuresFor(nodes).map((feature) => `<feature var="${feature}"/>`)
    await actor.sends(
      xml`<iq type="result" id="${stanza.attrs.id}" to="verona.example"><query xmlns="${INFO}"><identity category="client" type="pc"/>${features.join('')}</query></iq>`,
    )
  }
}
const comes = async (scene: Scene, jid: string, ...nodes: readonly string[]): Promise<Actor> => {
  const actor = await scene.connect(jid)
  await wants(actor, ...nodes)
  return actor
}
/** Juliet and Romeo see each other's presence, and he wants to know what she listens to. */
const couple = async (scene: Scene) => {
  const juliet = await comes(scene, JULIET)
  const romeo = await comes(scene, ROMEO, TUNE)
  await scene.befriend(juliet, romeo)
  return { juliet, romeo }
}

// ---- what they say

const song = (title: string) => `<tune xmlns="${TUNE}"><title>${title}</title></tune>`
const field = (name: string, ...values: readonly string[]) =>
  `<field var="pubsub#${name}">${values.map((value) => `<value>${value}</value>`).join('')}</field>`
const publishOptions = (...fields: readonly string[]) =>
  xml`<publish-options><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE" type="hidden"><value>${PUBSUB}#publish-options</value></field>${fields.join('')}</x></publish-options>`
const publishes = (payload: string, { node = TUNE, id = 'current', more = '', to = '' } = {}) =>
  xml`<iq type="set" id="p1"${to === '' ? '' : ` to="${to}"`}><pubsub xmlns="${PUBSUB}"><publish node="${node}"><item id="${id}">${payload}</item></publish>${more}</pubsub></iq>`
const published = (actor: Actor, { node = TUNE, id = 'current' } = {}) =>
  xml`<iq type="result" id="p1" from="${actor.bareJid}" to="${actor.jid}"><pubsub xmlns="${PUBSUB}"><publish node="${node}"><item id="${id}"/></publish></pubsub></iq>`
const event = (from: string, to: string, payload: string, { node = TUNE, id = 'current', late = '' } = {}) =>
  xml`<message type="headline" id="${any}" from="${from}" to="${to}"><event xmlns="${PUBSUB}#event"><items node="${node}"><item id="${id}">${payload}</item></items></event>${
    late === '' ? '' : `<delay xmlns="urn:xmpp:delay" from="${from}" stamp="${late}"/>`
  }</message>`
const asksItems = (to: string, node = TUNE) =>
  xml`<iq type="get" id="g1" to="${to}"><pubsub xmlns="${PUBSUB}"><items node="${node}"/></pubsub></iq>`
const items = (from: string, to: string, payload: string, { node = TUNE, id = 'current' } = {}) =>
  xml`<iq type="result" id="g1" from="${from}" to="${to}"><pubsub xmlns="${PUBSUB}"><items node="${node}"><item id="${id}">${payload}</item></items></pubsub></iq>`
const refused = (condition: string, type: string, code: number, detail: string, id: string, from: string, to: string) =>
  xml`<iq type="error" id="${id}" from="${from}" to="${to}"><error type="${type}" code="${code}"><${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/><${detail} xmlns="${PUBSUB}#errors"/></error></iq>`

/** Publishes and forgets the answer, and what the publisher is told of it. */
const does = async (actor: Actor, stanza: string): Promise<void> => {
  await actor.sends(stanza)
  const answers = (await actor.collects()).filter(({ name }) => name === 'iq')
  expect(answers.map(({ attrs }) => attrs.type)).toEqual(['result'])
}
const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/

// ---- XEP-0163 §6

conversation('XEP-0163 §6.1: an account says that it has nodes, and what can be done with them', { modules }, async (scene) => {
  const juliet = await comes(scene, JULIET)
  await juliet.sends(xml`<iq type="get" id="d1" to="${juliet.bareJid}"><query xmlns="${INFO}"/></iq>`)
  await juliet.sends(xml`<iq type="get" id="d2" to="${scene.domain}"><query xmlns="${INFO}"/></iq>`)
  const [own, domain] = (await juliet.collects()).map((answer) => answer.getChild('query', INFO))
  const identities = own?.getChildren('identity').map(({ attrs }) => `${attrs.category}/${attrs.type}`)
  expect(identities).toEqual(['account/registered', 'pubsub/pep'])
  const features = own?.getChildren('feature').map(({ attrs }) => attrs.var)
  // §5
  for (const must of [
    ...['access-presence', 'access-open', 'access-roster', 'access-whitelist', 'auto-create', 'auto-subscribe'],
    ...['filtered-notifications', 'create-nodes', 'delete-nodes', 'publish', 'subscribe', 'retrieve-items', 'persistent-items'],
    ...['config-node', 'create-and-configure', 'publish-options', 'last-published', 'pubsub-on-a-jid'],
  ])
    expect(features).toContain(`${PUBSUB}#${must}`)
  // Profanity and Smack look there.
  const domainFeatures = domain?.getChildren('feature').map(({ attrs }) => attrs.var)
  for (const feature of [PUBSUB, `${PUBSUB}#publish-options`, `${PUBSUB}#access-whitelist`])
    expect(domainFeatures).toContain(feature)
})

conversation(
  'XEP-0163 §6.2: contacts find the nodes that they may read, strangers those for everybody',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const tybalt = await scene.comesOnline('tybalt@verona.example/square')
    await does(juliet, publishes(song('Finzi')))
    await does(juliet, publishes('<x xmlns="urn:x"/>', { node: 'urn:open', more: publishOptions(field('access_model', 'open')) }))
    await does(
      juliet,
      publishes('<x xmlns="urn:x"/>', { node: 'urn:own', more: publishOptions(field('access_model', 'whitelist')) }),
    )
    await romeo.ignores()
    for (const [actor, nodes] of [
      [juliet, [TUNE, 'urn:open', 'urn:own']],
      [romeo, [TUNE, 'urn:open']],
      [tybalt, ['urn:open']],
    ] as const) {
      await actor.sends(xml`<iq type="get" id="d1" to="${juliet.bareJid}"><query xmlns="${ITEMS}"/></iq>`)
      const found = (await actor.next()).getChild('query', ITEMS)?.getChildren('item') ?? []
      expect(found.flatMap(({ attrs }) => attrs.node ?? []).sort()).toEqual([...nodes].sort())
      for (const node of ['urn:open', 'urn:own']) {
        await actor.sends(xml`<iq type="get" id="d2" to="${juliet.bareJid}"><query xmlns="${INFO}" node="${node}"/></iq>`)
        const answer = await actor.next()
        expect(answer.attrs.type).toBe(nodes.some((each) => each === node) ? 'result' : 'error')
      }
    }
    await tybalt.sends(xml`<iq type="get" id="d3" to="${juliet.bareJid}"><query xmlns="${INFO}" node="urn:own"/></iq>`)
    await tybalt.receives(refusal('service-unavailable', { id: 'd3', from: juliet.bareJid, to: tybalt.jid }))
    await romeo.sends(xml`<iq type="get" id="d3" to="${juliet.bareJid}"><query xmlns="${INFO}" node="urn:none"/></iq>`)
    await romeo.receives(refusal('item-not-found', { id: 'd3', from: juliet.bareJid, to: romeo.jid }))
  },
)

// ---- XEP-0163 §3, §4

conversation(
  'XEP-0163 §3, §4.3: what is published reaches each resource of contacts and of the account itself that wants it, and nobody else',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const chamber = await comes(scene, 'juliet@verona.example/chamber', TUNE)
    const mute = await comes(scene, 'romeo@verona.example/mute', MOOD)
    const silent = await scene.comesOnline('romeo@verona.example/silent')
    const tybalt = await comes(scene, 'tybalt@verona.example/square', TUNE)
    for (const actor of [juliet, romeo, chamber, mute]) await actor.ignores()
    await juliet.sends(publishes(song('Finzi')))
    await juliet.receives(published(juliet))
    await romeo.receives(event(juliet.bareJid, romeo.jid, song('Finzi')))
    await chamber.receives(event(juliet.bareJid, chamber.jid, song('Finzi')))
    for (const actor of [juliet, romeo, chamber, mute, silent, tybalt]) await actor.receivesNothing()
    await chamber.sends(publishes(song('Intro')))
    await chamber.receivesInAnyOrder(published(chamber), event(juliet.bareJid, chamber.jid, song('Intro')))
    await romeo.receives(event(juliet.bareJid, romeo.jid, song('Intro')))
    // §5: one item, the newest.
    await romeo.sends(asksItems(juliet.bareJid))
    await romeo.receives(items(juliet.bareJid, romeo.jid, song('Intro')))
  },
)

conversation(
  'XEP-0163 §4.1: whoever is subscribed one way only gets events as well; the other way gives no right',
  { modules },
  async (scene) => {
    const juliet = await comes(scene, JULIET, TUNE)
    const romeo = await comes(scene, ROMEO, TUNE)
    await romeo.sends(xml`<presence type="subscribe" to="${juliet.bareJid}"/>`)
    await juliet.sends(xml`<presence type="subscribed" to="${romeo.bareJid}"/>`)
    for (const actor of [juliet, romeo]) await actor.ignores()
    await does(juliet, publishes(song('Finzi')))
    await romeo.receives(event(juliet.bareJid, romeo.jid, song('Finzi')))
    await does(romeo, publishes(song('Dowland')))
    await juliet.receivesNothing()
  },
)

conversation('XEP-0163 §2.2: nobody else publishes to an account, nor makes nodes there', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  for (const to of [juliet.bareJid, 'nobody@verona.example']) {
    await romeo.sends(publishes(song('Finzi'), { to }))
    await romeo.receives(refusal('forbidden', { id: 'p1', from: to, to: romeo.jid }))
  }
  await does(juliet, publishes(song('Finzi')))
  await romeo.ignores()
  await romeo.sends(publishes(song('Dowland'), { to: juliet.bareJid }))
  await romeo.receives(refusal('forbidden', { id: 'p1', from: juliet.bareJid, to: romeo.jid }))
})

conversation(
  'XEP-0060 §6.5.9.11: a node that is not there is not found, with the old code that Profanity waits for',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    for (const to of [juliet.bareJid, 'nobody@verona.example']) {
      await romeo.sends(asksItems(to))
      await romeo.receives(
        xml`<iq type="error" id="g1" from="${to}" to="${romeo.jid}"><error type="cancel" code="404"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>`,
      )
    }
  },
)

conversation('XEP-0163 §4.3.4: whoever comes is sent the last item once, with its time', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await does(juliet, publishes(song('Finzi')))
  const late = new Date(scene.clock.nowMs()).toISOString()
  expect(late).toMatch(STAMP)
  await romeo.ignores()
  scene.clock.advance('60s')
  await romeo.sends(claims([TUNE]))
  expect((await romeo.collects()).map(({ name }) => name)).toEqual(['presence'])

  const garden = await scene.connect('romeo@verona.example/garden')
  await garden.sends(claims([TUNE]))
  const [last] = (await garden.collects()).filter(({ name }) => name === 'message')
  expect(last?.getChild('delay', 'urn:xmpp:delay')?.attrs.stamp).toMatch(STAMP)
  expect(last?.attrs.to).toBe(garden.jid)
  await romeo.ignores()

  await garden.sends('<presence type="unavailable"/>')
  await garden.ignores()
  await garden.sends(claims([TUNE]))
  expect((await garden.collects()).filter(({ name }) => name === 'message')).toHaveLength(1)
  // The account's own resources, too.
  const chamber = await scene.connect('juliet@verona.example/chamber')
  await chamber.sends(claims([TUNE]))
  const own = (await chamber.collects()).filter(({ name }) => name === 'message')
  expect(own.map(({ attrs }) => `${attrs.from} ${attrs.to}`)).toEqual([`${juliet.bareJid} ${chamber.jid}`])
})

conversation('XEP-0163 §4.3.4: the publisher need not be there for it', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await does(juliet, publishes(song('Finzi')))
  await juliet.leaves()
  await romeo.leaves()
  const again = await scene.connect(ROMEO)
  await again.sends(claims([TUNE]))
  const [last] = (await again.collects()).filter(({ name }) => name === 'message')
  expect(last?.attrs.from).toBe('juliet@verona.example')
})

conversation(
  'XEP-0163 §4.2, XEP-0115 §6.1: a client that begins to want a node is sent its last item, and no other',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await does(juliet, publishes(song('Finzi')))
    await does(juliet, publishes('<mood xmlns="http://jabber.org/protocol/mood"><happy/></mood>', { node: MOOD }))
    await romeo.ignores()
    await romeo.sends(claims([TUNE, MOOD]))
    const question = (await romeo.collects()).find(({ name }) => name === 'iq')
    await romeo.sends(
      xml`<iq type="result" id="${question?.attrs.id}" to="verona.example"><query xmlns="${INFO}"><identity category="client" type="pc"/>${featuresFor(
        [TUNE, MOOD],
      )
        .map((feature) => `<feature var="${feature}"/>`)
        .join('')}</query></iq>`,
    )
    const sent = (await romeo.collects()).map(
      (stanza) => stanza.getChild('event', `${PUBSUB}#event`)?.getChild('items')?.attrs.node,
    )
    expect(sent).toEqual([MOOD])
    // And one that stops wanting gets no more.
    await wants(romeo, MOOD)
    await does(juliet, publishes(song('Intro')))
    await romeo.receivesNothing()
  },
)

conversation('XEP-0198 §5: who resumes is not sent the last items again', { modules }, async (scene) => {
  const { juliet } = await couple(scene)
  await does(juliet, publishes(song('Finzi')))
  const garden = await scene.connect('romeo@verona.example/garden')
  await garden.sends('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
  const previd = (await garden.next()).attrs.id ?? ''
  await garden.sends(claims([TUNE]))
  const before = await garden.collects()
  expect(before.filter(({ name }) => name === 'message')).toHaveLength(1)
  const handled = before.filter(({ name }) => ['message', 'presence', 'iq'].includes(name)).length
  await garden.vanishes()
  const again = await scene.visit()
  await again.logsIn('romeo', 'secret')
  again.is(garden.jid)
  await again.sends(xml`<resume xmlns="urn:xmpp:sm:3" previd="${previd}" h="${handled}"/>`)
  expect((await again.collects()).map(({ name }) => name)).toEqual(['resumed'])
  await again.sends(claims([TUNE]))
  expect((await again.collects()).filter(({ name }) => name === 'message')).toEqual([])
})

conversation('XEP-0163 §4.3.3: whoever becomes subscribed is sent the last item', { modules }, async (scene) => {
  const juliet = await comes(scene, JULIET)
  const romeo = await comes(scene, ROMEO, TUNE)
  await does(juliet, publishes(song('Finzi')))
  await romeo.sends(xml`<presence type="subscribe" to="${juliet.bareJid}"/>`)
  await juliet.sends(xml`<presence type="subscribed" to="${romeo.bareJid}"/>`)
  const got = (await romeo.collects()).map(({ name, attrs }) => `${name} ${attrs.type ?? ''} ${attrs.from}`)
  expect(got).toContain(`message headline ${juliet.bareJid}`)
  expect(got.indexOf(`message headline ${juliet.bareJid}`)).toBeGreaterThan(got.indexOf(`presence subscribed ${juliet.bareJid}`))
})

conversation('XEP-0163 §7.1: whoever is subscribed no longer gets no more', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await juliet.sends(xml`<presence type="unsubscribed" to="${romeo.bareJid}"/>`)
  for (const actor of [juliet, romeo]) await actor.ignores()
  await does(juliet, publishes(song('Finzi')))
  await romeo.receivesNothing()
  const garden = await comes(scene, 'romeo@verona.example/garden', TUNE)
  await garden.receivesNothing()
})

// ---- access

conversation('XEP-0163 §5: a roster node is for the contacts of its groups', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const nurse = await comes(scene, 'nurse@verona.example/chamber', TUNE)
  await scene.befriend(juliet, nurse)
  await juliet.sends(
    xml`<iq type="set" id="r1"><query xmlns="jabber:iq:roster"><item jid="${nurse.bareJid}"><group>Servants</group></item></query></iq>`,
  )
  await juliet.ignores()
  const more = publishOptions(field('access_model', 'roster'), field('roster_groups_allowed', 'Servants'))
  await does(juliet, publishes(song('Finzi'), { more }))
  await nurse.receives(event(juliet.bareJid, nurse.jid, song('Finzi')))
  await romeo.receivesNothing()
  await romeo.sends(asksItems(juliet.bareJid))
  await romeo.receives(refused('not-authorized', 'auth', 401, 'not-in-roster-group', 'g1', juliet.bareJid, romeo.jid))
})

conversation(
  'XEP-0163 §4: events of an open node go to strangers who share their presence, or who subscribed',
  { modules },
  async (scene) => {
    const juliet = await comes(scene, JULIET)
    const guest = await comes(scene, 'benvolio@verona.example/street', TUNE)
    const tybalt = await comes(scene, 'tybalt@verona.example/square', TUNE)
    const paris = await scene.comesOnline('paris@verona.example/court')
    await does(juliet, publishes(song('Finzi'), { more: publishOptions(field('access_model', 'open')) }))

    await guest.sends(xml`<presence to="${juliet.bareJid}"/>`)
    const [last] = await guest.collects()
    expect(last?.getChild('delay', 'urn:xmpp:delay')).toBeDefined()
    await paris.sends(
      xml`<iq type="set" id="s1" to="${juliet.bareJid}"><pubsub xmlns="${PUBSUB}"><subscribe node="${TUNE}" jid="${paris.bareJid}"/></pubsub></iq>`,
    )
    expect((await paris.collects()).filter(({ name }) => name === 'iq').map(({ attrs }) => attrs.type)).toEqual(['result'])
    await juliet.ignores()

    await does(juliet, publishes(song('Intro')))
    await guest.receives(event(juliet.bareJid, guest.jid, song('Intro')))
    await paris.receives(event(juliet.bareJid, paris.bareJid, song('Intro')))
    await tybalt.receivesNothing()
    await guest.sends(xml`<presence type="unavailable" to="${juliet.bareJid}"/>`)
    await juliet.ignores()
    await does(juliet, publishes(song('Outro')))
    await guest.receivesNothing()
  },
)

conversation(
  'XEP-0163 §4.3.2: who subscribed by its bare JID is told at each resource that wants it, and by the bare JID when none does',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const mute = await scene.comesOnline('romeo@verona.example/mute')
    await does(juliet, publishes(song('Finzi')))
    await romeo.sends(
      xml`<iq type="set" id="s1" to="${juliet.bareJid}"><pubsub xmlns="${PUBSUB}"><subscribe node="${TUNE}" jid="${romeo.bareJid}"/></pubsub></iq>`,
    )
    for (const actor of [romeo, mute, juliet]) await actor.ignores()
    await does(juliet, publishes(song('Intro')))
    await romeo.receives(event(juliet.bareJid, romeo.jid, song('Intro')))
    await mute.receivesNothing()
    await wants(romeo)
    await mute.ignores()
    await does(juliet, publishes(song('Outro')))
    await romeo.receives(event(juliet.bareJid, romeo.bareJid, song('Outro')))
    await mute.receives(event(juliet.bareJid, romeo.bareJid, song('Outro')))
  },
)

conversation('XEP-0163 §4.3.3, XEP-0191 §3.3: a blocked contact gets nothing and gives nothing', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await wants(juliet, TUNE)
  await romeo.sends(
    xml`<iq type="set" id="s1" to="${juliet.bareJid}"><pubsub xmlns="${PUBSUB}"><create node="${TUNE}"/></pubsub></iq>`,
  )
  await does(juliet, publishes(song('Finzi')))
  for (const actor of [juliet, romeo]) await actor.ignores()
  await romeo.sends(
    xml`<iq type="set" id="s2" to="${juliet.bareJid}"><pubsub xmlns="${PUBSUB}"><subscribe node="${TUNE}" jid="${romeo.jid}"/></pubsub></iq>`,
  )
  await juliet.sends(xml`<iq type="set" id="b1"><block xmlns="urn:xmpp:blocking"><item jid="${romeo.bareJid}"/></block></iq>`)
  for (const actor of [juliet, romeo]) await actor.ignores()
  await does(juliet, publishes(song('Intro')))
  await romeo.receivesNothing()
  await does(romeo, publishes(song('Dowland')))
  await juliet.receivesNothing()
  await romeo.sends(asksItems(juliet.bareJid))
  await romeo.receives(refusal('service-unavailable', { id: 'g1', from: juliet.bareJid, to: romeo.jid }))
  const garden = await comes(scene, 'romeo@verona.example/garden', TUNE)
  await garden.ignores()
  await wants(juliet, TUNE, MOOD)
  await juliet.receivesNothing()
})

conversation('XEP-0352 §5.1: events wait for an inactive client, in their order', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends('<inactive xmlns="urn:xmpp:csi:0"/>')
  for (const title of ['Finzi', 'Intro']) await does(juliet, publishes(song(title)))
  await romeo.receivesNothing()
  await juliet.sends(xml`<message type="chat" to="${romeo.bareJid}" id="m1"><body>Romeo?</body></message>`)
  const bodies = (await romeo.collects()).map(
    (stanza) =>
      stanza
        .getChild('event', `${PUBSUB}#event`)
        ?.getChild('items')
        ?.getChild('item')
        ?.getChild('tune', TUNE)
        ?.getChildText('title') ?? stanza.getChildText('body'),
  )
  expect(bodies).toEqual(['Finzi', 'Intro', 'Romeo?'])
})

conversation('XEP-0163 §7.1: who loses the right to a node is subscribed no more, and is told', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await wants(romeo)
  await does(juliet, publishes(song('Finzi')))
  await romeo.sends(
    xml`<iq type="set" id="s1" to="${juliet.bareJid}"><pubsub xmlns="${PUBSUB}"><subscribe node="${TUNE}" jid="${romeo.jid}"/></pubsub></iq>`,
  )
  for (const actor of [juliet, romeo]) await actor.ignores()
  await juliet.sends(xml`<presence type="unsubscribed" to="${romeo.bareJid}"/>`)
  const events = (await romeo.collects()).flatMap((stanza) => stanza.getChild('event', `${PUBSUB}#event`)?.getChildren() ?? [])
  expect(events.map(({ name, attrs }) => ({ name, ...attrs }))).toEqual([
    { name: 'subscription', node: TUNE, jid: romeo.jid, subscription: 'none' },
  ])
  // It does not come back with the right.
  await romeo.sends(xml`<presence type="subscribe" to="${juliet.bareJid}"/>`)
  await juliet.sends(xml`<presence type="subscribed" to="${romeo.bareJid}"/>`)
  for (const actor of [juliet, romeo]) await actor.ignores()
  await does(juliet, publishes(song('Intro')))
  await romeo.receivesNothing()
})

conversation('XEP-0060 §8.6: an account says from any device who may subscribe', { modules }, async (scene) => {
  const juliet = await comes(scene, JULIET)
  const romeo = await scene.comesOnline(ROMEO)
  await does(juliet, publishes(song('Finzi'), { more: publishOptions(field('access_model', 'authorize')) }))
  await romeo.sends(
    xml`<iq type="set" id="s1" to="${juliet.bareJid}"><pubsub xmlns="${PUBSUB}"><subscribe node="${TUNE}" jid="${romeo.jid}"/></pubsub></iq>`,
  )
  await romeo.ignores()
  const [request] = await juliet.collects()
  expect(request?.getChild('x', 'jabber:x:data')?.attrs.type).toBe('form')
  const form = (...fields: readonly string[]) =>
    xml`<message to="${juliet.bareJid}"><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE" type="hidden"><value>${PUBSUB}#subscribe_authorization</value></field>${fields.join('')}</x></message>`
  await juliet.sends(form(field('node', TUNE), field('subscriber_jid', romeo.jid), field('allow', 'true')))
  const told = (await romeo.collects()).map((stanza) => stanza.getChild('event', `${PUBSUB}#event`)?.getChildren()[0])
  expect(told.map((element) => element?.attrs.subscription ?? element?.attrs.node)).toEqual(['subscribed', TUNE])
  await juliet.receivesNothing()
  // Somebody else's form is a message like any other.
  await romeo.sends(form(field('node', TUNE), field('subscriber_jid', romeo.jid), field('allow', 'true')))
  expect((await juliet.collects()).map(({ name, attrs }) => `${name} ${attrs.from}`)).toEqual([`message ${romeo.jid}`])
})

// ---- XEP-0222, XEP-0223

conversation(
  'XEP-0222 §3: data for everybody is kept, and its node is what the publisher asks it to be',
  { modules },
  async (scene) => {
    const juliet = await comes(scene, JULIET)
    const tybalt = await scene.comesOnline('tybalt@verona.example/square')
    const key = '<key xmlns="urn:keys"/>'
    const open = publishOptions(field('persist_items', 'true'), field('access_model', 'open'))
    await juliet.sends(publishes(key, { node: 'urn:keys', id: 'k1', more: open }))
    await juliet.receives(published(juliet, { node: 'urn:keys', id: 'k1' }))
    await juliet.leaves()
    await tybalt.sends(asksItems(juliet.bareJid, 'urn:keys'))
    await tybalt.receives(items(juliet.bareJid, tybalt.jid, key, { node: 'urn:keys', id: 'k1' }))
  },
)

conversation(
  'XEP-0223 §3: private data is kept for the account’s own devices alone; a node that is not private is refused before anything is stored',
  { modules },
  async (scene) => {
    const juliet = await comes(scene, JULIET)
    const chamber = await comes(scene, 'juliet@verona.example/chamber', BOOKMARKS)
    const romeo = await comes(scene, ROMEO, BOOKMARKS)
    await scene.befriend(juliet, romeo)
    for (const actor of [juliet, chamber, romeo]) await actor.ignores()
    const room = '<conference xmlns="urn:xmpp:bookmarks:1" name="Council"/>'
    const more = publishOptions(
      field('persist_items', 'true'),
      field('max_items', 'max'),
      field('send_last_published_item', 'never'),
      field('access_model', 'whitelist'),
    )
    const at = { node: BOOKMARKS, id: 'council@rooms.verona.example' }
    await juliet.sends(publishes(room, { ...at, more }))
    await juliet.receives(published(juliet, at))
    await chamber.receives(event(juliet.bareJid, chamber.jid, room, at))
    await romeo.receivesNothing()
    await romeo.sends(asksItems(juliet.bareJid, BOOKMARKS))
    await romeo.receives(refused('not-allowed', 'cancel', 405, 'closed-node', 'g1', juliet.bareJid, romeo.jid))
    await chamber.sends(asksItems(juliet.bareJid, BOOKMARKS))
    await chamber.receives(items(juliet.bareJid, chamber.jid, room, at))
    const study = await scene.connect('juliet@verona.example/study')
    await study.sends(claims([BOOKMARKS]))
    expect((await study.collects()).filter(({ name }) => name === 'message')).toEqual([])

    // XEP-0060 §7.1.5: the options are what must hold.
    await does(juliet, publishes(song('Finzi')))
    await juliet.sends(publishes(song('Secret'), { more: publishOptions(field('access_model', 'whitelist')) }))
    await juliet.receives(refused('conflict', 'cancel', 409, 'precondition-not-met', 'p1', juliet.bareJid, juliet.jid))
    await juliet.sends(asksItems(juliet.bareJid))
    await juliet.receives(items(juliet.bareJid, juliet.jid, song('Finzi')))
  },
)

conversation(
  'DESIGN P5: nodes, items and their size have limits, and nothing is stored of what is over them',
  { modules, config: { modules: { pep: { maxNodes: 2, maxItems: 2, maxPayload: '1 KiB' } } } },
  async (scene) => {
    const juliet = await comes(scene, JULIET)
    const more = publishOptions(field('max_items', 'max'))
    await does(juliet, publishes(song('Finzi'), { id: '0', more }))
    await juliet.sends(publishes(song('x'.repeat(1024)), { id: 'large' }))
    await juliet.receives(refused('not-acceptable', 'modify', 406, 'payload-too-big', 'p1', juliet.bareJid, juliet.jid))
    await does(juliet, publishes('<x xmlns="urn:x"/>', { node: 'urn:x' }))
    await juliet.sends(publishes('<y xmlns="urn:y"/>', { node: 'urn:y' }))
    const [refusedNode] = await juliet.collects()
    expect(
      refusedNode
        ?.getChild('error')
        ?.getChildren()
        .map(({ name }) => name),
    ).toEqual(['conflict', 'max-nodes-exceeded'])
    for (const id of ['1', '2']) await does(juliet, publishes(song(id), { id }))
    await juliet.sends(asksItems(juliet.bareJid))
    const kept = (await juliet.next()).getChild('pubsub', PUBSUB)?.getChild('items')?.getChildren('item')
    expect(kept?.map(({ attrs }) => attrs.id).sort()).toEqual(['1', '2'])
    await juliet.sends(asksItems(juliet.bareJid, 'urn:y'))
    await juliet.receives(refusal('item-not-found', { id: 'g1', from: juliet.bareJid, to: juliet.jid }))
  },
)

conversation('what an account published goes with it', { modules }, async (scene) => {
  const juliet = await comes(scene, JULIET)
  await does(juliet, publishes(song('Finzi'), { more: publishOptions(field('access_model', 'open')) }))
  const tybalt = await scene.comesOnline('tybalt@verona.example/square')
  await scene.server.accounts.delete(juliet.bareJid)
  await scene.settle()
  await tybalt.sends(asksItems('juliet@verona.example'))
  await tybalt.receives(refusal('item-not-found', { id: 'g1', from: 'juliet@verona.example', to: tybalt.jid }))
})

conversation(
  'DESIGN P5: a client that wants something else again and again is sent last items one after the other',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const juliet = await comes(scene, JULIET)
    const romeo = await comes(scene, ROMEO, TUNE)
    await scene.befriend(juliet, romeo)
    await wants(romeo, MOOD)
    for (const node of [TUNE, MOOD])
      await juliet.sends(
        xml`<iq type="set" id="p"><pubsub xmlns="${PUBSUB}"><publish node="${node}"><item id="1"><x xmlns="${node}"/></item></publish></pubsub></iq>`,
      )
    await romeo.ignores()
    await romeo.sends(Array.from({ length: 10 }, (_, i) => claims([i % 2 === 0 ? TUNE : MOOD])).join(''))
    const told = (await romeo.collects()).flatMap(
      (stanza) => stanza.getChild('event', `${PUBSUB}#event`)?.getChild('items')?.attrs.node ?? [],
    )
    expect(told).toEqual([TUNE, MOOD])
  },
)
