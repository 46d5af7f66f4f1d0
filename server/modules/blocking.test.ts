import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { blocking } from './blocking.ts'
import { carbons } from './carbons.ts'
import { disco } from './disco.ts'
import { offline } from './offline.ts'
import { vcard } from './vcard.ts'

const modules = [blocking, offline, carbons, vcard, disco]
const NS = 'urn:xmpp:blocking'

const item = (jid: string) => `<item jid="${jid}"/>`
const command = (name: 'block' | 'unblock', ...jids: readonly string[]) =>
  xml`<iq type="set" id="b1"><${name} xmlns="${NS}">${jids.map(item).join('')}</${name}></iq>`
const done = (actor: Actor) => xml`<iq type="result" id="b1" from="${actor.bareJid}" to="${actor.jid}"/>`
const pushed = (actor: Actor, name: 'block' | 'unblock', ...jids: readonly string[]) =>
  xml`<iq type="set" id="${any}" from="${actor.bareJid}" to="${actor.jid}"><${name} xmlns="${NS}">${jids.map(item).join('')}</${name}></iq>`
const fetchList = xml`<iq type="get" id="b0"><blocklist xmlns="${NS}"/></iq>`
const list = (actor: Actor, ...jids: readonly string[]) =>
  xml`<iq type="result" id="b0" from="${actor.bareJid}" to="${actor.jid}"><blocklist xmlns="${NS}">${jids.map(item).join('')}</blocklist></iq>`
const says = (to: string, type = 'chat') => xml`<message type="${type}" to="${to}" id="m1"><body>Juliet?</body></message>`
const gone = (from: string, to: string) => xml`<presence type="unavailable" from="${from}" to="${to}"/>`

/** What somebody is told who writes to whom he has blocked (XEP-0191 §3.3). */
const blockedError = (kind: 'message' | 'presence' | 'iq', id: string, from: string, to: string) =>
  xml`<${kind} type="error" id="${id}" from="${from}" to="${to}"><error type="cancel" code="406">
    <not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/><blocked xmlns="urn:xmpp:blocking:errors"/></error></${kind}>`

const couple = async (scene: Scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  await scene.befriend(juliet, romeo)
  return { juliet, romeo }
}

const blocks = async (who: Actor, ...jids: readonly string[]) => {
  await who.sends(command('block', ...jids))
  await who.receives(done(who))
}

conversation('XEP-0191 §3.1: the server says that it can', { modules }, async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<iq type="get" id="d1" to="${domain}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
  const query = (await juliet.next()).getChild('query', 'http://jabber.org/protocol/disco#info')
  const features = query?.getChildren('feature').map(({ attrs }) => attrs.var) ?? []
  if (!features.includes(NS) || features.some((feature) => feature?.startsWith('urn:xmpp:reporting')))
    throw new Error(features.join())
})

conversation(
  'XEP-0191 §3.2, §3.3, §3.4: the list is empty, grows, is the same at the next login, and shrinks',
  { modules },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(fetchList)
    await juliet.receives(list(juliet))
    await juliet.sends(command('block', 'romeo@verona.example', 'IAGO@Shakespeare.LIT'))
    await juliet.receives(pushed(juliet, 'block', 'romeo@verona.example', 'iago@shakespeare.lit'), done(juliet))
    await juliet.leaves()
    const again = await connect('juliet@verona.example/chamber')
    await again.sends(fetchList)
    await again.receives(list(again, 'iago@shakespeare.lit', 'romeo@verona.example'))
    await again.sends(command('unblock', 'romeo@verona.example'))
    await again.receives(pushed(again, 'unblock', 'romeo@verona.example'), done(again))
    await again.sends(fetchList)
    await again.receives(list(again, 'iago@shakespeare.lit'))
    await again.sends(command('unblock'))
    await again.receives(pushed(again, 'unblock'), done(again))
    await again.sends(fetchList)
    await again.receives(list(again))
  },
)

conversation(
  'XEP-0191 §3.3, §3.4: changes are pushed to the resources that have fetched the list, and to no other',
  { modules },
  async ({ connect, comesOnline }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const phone = await connect('juliet@verona.example/phone')
    const desk = await comesOnline('juliet@verona.example/desk')
    await phone.sends(fetchList)
    await phone.receives(list(phone))
    await blocks(juliet, 'romeo@verona.example')
    await phone.receives(pushed(phone, 'block', 'romeo@verona.example'))
    await phone.sends(xml`<iq type="result" id="whatever" to="${phone.bareJid}"/>`)
    await juliet.sends(command('unblock', 'romeo@verona.example'))
    await juliet.receives(done(juliet))
    await phone.receives(pushed(phone, 'unblock', 'romeo@verona.example'))
    for (const actor of [juliet, phone, desk]) await actor.receivesNothing()
  },
)

conversation(
  'XEP-0191 §3.3: a block without an item, or with one that says nothing, is refused',
  { modules },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    for (const content of ['', '<item/>', `${item('romeo@verona.example')}<item/>`]) {
      await juliet.sends(xml`<iq type="set" id="b1"><block xmlns="${NS}">${content}</block></iq>`)
      await juliet.receives(refusal('bad-request', { id: 'b1', from: juliet.bareJid, to: juliet.jid }))
    }
    await juliet.sends(fetchList)
    await juliet.receives(list(juliet))
  },
)

conversation(
  'XEP-0191 §3.3, RFC 6120 §8.3.3.8: what is no JID is not blocked, nor what stands beside it',
  { modules },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    for (const name of ['block', 'unblock'] as const) {
      await juliet.sends(command(name, 'romeo@verona.example', 'a@b@c/'))
      await juliet.receives(refusal('jid-malformed', { id: 'b1', from: juliet.bareJid, to: juliet.jid }))
    }
    await juliet.sends(fetchList)
    await juliet.receives(list(juliet))
  },
)

conversation('XEP-0191 §3.2: nobody reads or changes the list of another', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const tybalt = await connect('tybalt@verona.example/square')
  for (const to of [juliet.bareJid, 'nobody@verona.example'])
    for (const [type, name] of [
      ['get', 'blocklist'],
      ['set', 'block'],
      ['set', 'unblock'],
    ]) {
      await tybalt.sends(
        xml`<iq type="${type}" id="b2" to="${to}"><${name} xmlns="${NS}">${item('romeo@verona.example')}</${name}></iq>`,
      )
      await tybalt.receives(refusal('forbidden', { id: 'b2', from: to, to: tybalt.jid }))
    }
  await juliet.receivesNothing()
})

conversation(
  'XEP-0191: a list has its limit',
  { modules, config: { modules: { blocking: { maxItems: 2 } } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await blocks(juliet, 'a@example.org', 'b@example.org')
    await blocks(juliet, 'a@example.org')
    await juliet.sends(command('block', 'c@example.org'))
    await juliet.receives(
      refusal('policy-violation', { id: 'b1', from: juliet.bareJid, to: juliet.jid }).replace(
        '</error>',
        '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">at most 2 addresses can be blocked</text></error>',
      ),
    )
    await juliet.sends(fetchList)
    await juliet.receives(list(juliet, 'a@example.org', 'b@example.org'))
  },
)

conversation(
  'XEP-0191 §3.3: the blocked contact sees every resource go, once, and then no presence any more',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const phone = await scene.comesOnline('juliet@verona.example/phone')
    await juliet.ignores()
    await romeo.ignores()
    await blocks(juliet, romeo.bareJid)
    await romeo.receives(gone(juliet.jid, romeo.bareJid), gone(phone.jid, romeo.bareJid))
    await blocks(juliet, romeo.bareJid)
    await juliet.sends('<presence><show>away</show></presence>')
    await phone.leaves()
    await juliet.ignores()
    const chamber = await scene.comesOnline('juliet@verona.example/chamber')
    await chamber.leaves()
    await romeo.receivesNothing()
  },
)

conversation(
  'XEP-0191 §3.3: presence, requests and probes of the blocked are dropped without an answer',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await blocks(juliet, romeo.bareJid)
    await romeo.ignores()
    await romeo.sends('<presence><show>dnd</show></presence>')
    await romeo.ignores()
    for (const type of ['probe', 'unsubscribe', 'unsubscribed', 'subscribe', 'subscribed', 'unavailable'])
      await romeo.sends(xml`<presence type="${type}" to="${juliet.bareJid}"/>`)
    await romeo.sends(xml`<presence to="${juliet.jid}"/>`)
    await juliet.receivesNothing()
    const seen = (await romeo.collects()).filter(({ name }) => name === 'presence')
    if (seen.length > 0) throw new Error('Romeo got presence')
  },
)

conversation(
  'XEP-0191 §3.3: one who comes online is not told of whoever has blocked him, nor they of him',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await blocks(juliet, romeo.bareJid)
    await romeo.leaves()
    const again = await scene.connect('romeo@verona.example/orchard')
    await again.sends('<presence/>')
    await again.receives(xml`<presence from="${again.jid}" to="${again.bareJid}"/>`)
    await again.receivesNothing()
    await juliet.receivesNothing()
  },
)

conversation(
  'XEP-0191 §3.3: messages of the blocked come back as from one who is offline, and none is kept',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await blocks(juliet, romeo.bareJid)
    await romeo.ignores()
    for (const to of [juliet.bareJid, juliet.jid])
      for (const type of ['chat', 'normal']) {
        await romeo.sends(says(to, type))
        await romeo.receives(refusal('service-unavailable', { id: 'm1', from: to, to: romeo.jid, kind: 'message' }))
      }
    for (const type of ['headline', 'groupchat', 'error']) await romeo.sends(says(juliet.jid, type))
    await romeo.receivesNothing()
    await juliet.receivesNothing()
    await juliet.leaves()
    await romeo.sends(says(juliet.bareJid))
    await romeo.receives(refusal('service-unavailable', { id: 'm1', from: juliet.bareJid, to: romeo.jid, kind: 'message' }))
    const again = await scene.connect('juliet@verona.example/balcony')
    await again.sends('<presence/>')
    await again.receives(xml`<presence from="${again.jid}" to="${again.bareJid}"/>`)
    await again.receivesNothing()
  },
)

conversation(
  'XEP-0191 §3.3: requests of the blocked are refused, to the account and to its resources; answers are dropped',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await juliet.sends('<iq type="set" id="v1"><vCard xmlns="vcard-temp"><FN>Juliet</FN></vCard></iq>')
    await juliet.ignores()
    await blocks(juliet, romeo.bareJid)
    await romeo.ignores()
    for (const to of [juliet.jid, juliet.bareJid])
      for (const type of ['get', 'set']) {
        await romeo.sends(xml`<iq type="${type}" id="i1" to="${to}"><vCard xmlns="vcard-temp"/></iq>`)
        await romeo.receives(refusal('service-unavailable', { id: 'i1', from: to, to: romeo.jid }))
      }
    await romeo.sends(xml`<iq type="result" id="i2" to="${juliet.jid}"/>`)
    await romeo.receivesNothing()
    await juliet.receivesNothing()
  },
)

conversation('XEP-0191 §3.3: the account does not speak with whom it has blocked', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await blocks(juliet, romeo.bareJid)
  await romeo.ignores()
  for (const to of [romeo.bareJid, romeo.jid]) {
    await juliet.sends(says(to))
    await juliet.receives(blockedError('message', 'm1', to, juliet.jid))
    await juliet.sends(xml`<presence to="${to}" id="p1"/>`)
    await juliet.receives(blockedError('presence', 'p1', to, juliet.jid))
    await juliet.sends(xml`<iq type="get" id="i1" to="${to}"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await juliet.receives(blockedError('iq', 'i1', to, juliet.jid))
  }
  // RFC 6120 §8.2.3, §8.3.1: answers and errors are not answered.
  await juliet.sends(xml`<iq type="result" id="i2" to="${romeo.jid}"/>`)
  await juliet.sends(says(romeo.jid, 'error'))
  await juliet.receivesNothing()
  await romeo.receivesNothing()
})

conversation('XEP-0191 §3.4: one who is unblocked sees the account again, and is heard again', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await blocks(juliet, romeo.bareJid)
  await juliet.sends('<presence><show>away</show></presence>')
  await juliet.ignores()
  await romeo.ignores()
  await juliet.sends(command('unblock', romeo.bareJid))
  await juliet.receives(done(juliet))
  await romeo.receives(xml`<presence from="${juliet.jid}" to="${romeo.bareJid}"><show>away</show></presence>`)
  await romeo.sends(xml`<message type="chat" to="${juliet.bareJid}" id="m2"><body>Juliet!</body></message>`)
  await juliet.receives(xml`<message type="chat" from="${romeo.jid}" to="${juliet.bareJid}" id="m2"><body>Juliet!</body>
    <stanza-id xmlns="urn:xmpp:sid:0" by="${juliet.bareJid}" id="${any}"/></message>`)
  await romeo.receivesNothing()
})

conversation(
  'XEP-0191 §3.3, §3.4: one who may not see the presence is told neither that it ends nor that it is back',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const tybalt = await comesOnline('tybalt@verona.example/square')
    await blocks(juliet, tybalt.bareJid)
    await juliet.sends(command('unblock', tybalt.bareJid))
    await juliet.receives(done(juliet))
    await tybalt.receivesNothing()
  },
)

conversation(
  'RFC 6121 §4.6.3: one who was told by name that a resource is there hears that it is gone',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const tybalt = await comesOnline('tybalt@verona.example/square')
    await juliet.sends(xml`<presence to="${tybalt.jid}"/>`)
    await tybalt.receives(xml`<presence from="${juliet.jid}" to="${tybalt.jid}"/>`)
    await blocks(juliet, tybalt.bareJid)
    await tybalt.receives(gone(juliet.jid, tybalt.jid))
    await juliet.leaves()
    await tybalt.receivesNothing()
  },
)

conversation('XEP-0191 §3.5: unblocking all brings everybody back', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const nurse = await scene.comesOnline('nurse@verona.example/house')
  await scene.befriend(juliet, nurse)
  await blocks(juliet, romeo.bareJid, nurse.jid, 'tybalt@elsewhere.example')
  await nurse.receives(gone(juliet.jid, nurse.jid))
  await romeo.ignores()
  await juliet.sends(command('unblock'))
  await juliet.receives(done(juliet))
  await romeo.receives(xml`<presence from="${juliet.jid}" to="${romeo.bareJid}"/>`)
  await nurse.receives(xml`<presence from="${juliet.jid}" to="${nurse.jid}"/>`)
  await romeo.sends(says(juliet.jid))
  await juliet.receives(xml`<message type="chat" from="${romeo.jid}" to="${juliet.jid}" id="m1">${any}</message>`)
})

conversation('XEP-0191 §6: a full JID blocks that resource only', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const phone = await scene.comesOnline('romeo@verona.example/phone')
  await juliet.ignores()
  await romeo.ignores()
  await blocks(juliet, phone.jid)
  await phone.receives(gone(juliet.jid, phone.jid))
  await phone.sends(says(juliet.jid))
  await phone.receives(refusal('service-unavailable', { id: 'm1', from: juliet.jid, to: phone.jid, kind: 'message' }))
  await juliet.sends(says(phone.jid))
  await juliet.receives(blockedError('message', 'm1', phone.jid, juliet.jid))
  await romeo.receivesNothing()
  await romeo.sends(says(juliet.jid))
  await juliet.receives(xml`<message type="chat" from="${romeo.jid}" to="${juliet.jid}" id="m1">${any}</message>`)
})

conversation(
  'XEP-0191 §6: a domain blocks everyone there, but neither the server nor the account itself',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const phone = await scene.comesOnline('juliet@verona.example/phone')
    await juliet.ignores()
    await romeo.ignores()
    await blocks(juliet, scene.domain)
    await romeo.receives(gone(juliet.jid, romeo.bareJid), gone(phone.jid, romeo.bareJid))
    await romeo.sends(says(juliet.jid))
    await romeo.receives(refusal('service-unavailable', { id: 'm1', from: juliet.jid, to: romeo.jid, kind: 'message' }))
    await juliet.sends(xml`<iq type="get" id="p1" to="${scene.domain}"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await juliet.receives(xml`<iq type="result" id="p1" from="${scene.domain}" to="${juliet.jid}"/>`)
    await juliet.sends(says(phone.jid))
    await phone.receives(xml`<message type="chat" from="${juliet.jid}" to="${phone.jid}" id="m1">${any}</message>`)
    await juliet.sends(command('unblock', scene.domain))
    await juliet.receives(done(juliet))
    await romeo.receives(
      xml`<presence from="${juliet.jid}" to="${romeo.bareJid}"/>`,
      xml`<presence from="${phone.jid}" to="${romeo.bareJid}"/>`,
    )
    await juliet.receivesNothing()
  },
)

conversation('XEP-0191 §6: who is still blocked by another item stays so', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await blocks(juliet, scene.domain, romeo.bareJid)
  await romeo.ignores()
  await juliet.sends(command('unblock', romeo.bareJid))
  await juliet.receives(done(juliet))
  await romeo.receivesNothing()
  await romeo.sends(says(juliet.jid))
  await romeo.receives(refusal('service-unavailable', { id: 'm1', from: juliet.jid, to: romeo.jid, kind: 'message' }))
})

conversation('XEP-0191 §5: blocking oneself blocks nothing', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const phone = await comesOnline('juliet@verona.example/phone')
  await juliet.ignores()
  await blocks(juliet, juliet.bareJid, phone.jid)
  await phone.receivesNothing()
  await juliet.sends(says(phone.jid))
  await phone.receives(xml`<message type="chat" from="${juliet.jid}" to="${phone.jid}" id="m1">${any}</message>`)
  await phone.sends('<presence><show>away</show></presence>')
  await juliet.receives(xml`<presence from="${phone.jid}" to="${phone.bareJid}"><show>away</show></presence>`)
})

conversation(
  'XEP-0191 §3.3: a request to be subscribed that came before the block is not delivered after it',
  { modules },
  async ({ comesOnline, connect, createAccount }) => {
    await createAccount('juliet@verona.example')
    const tybalt = await comesOnline('tybalt@verona.example/square')
    await tybalt.sends(xml`<presence type="subscribe" to="juliet@verona.example"/>`)
    const juliet = await connect('juliet@verona.example/balcony')
    await blocks(juliet, tybalt.bareJid)
    await juliet.sends('<presence/>')
    await juliet.receives(xml`<presence from="${juliet.jid}" to="${juliet.bareJid}"/>`)
    await juliet.receivesNothing()
  },
)

conversation('XEP-0377 §4: a report in a block is no part of what is kept', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<iq type="set" id="b1"><block xmlns="${NS}"><item jid="romeo@verona.example">
    <report xmlns="urn:xmpp:reporting:1" reason="urn:xmpp:reporting:spam"/></item></block></iq>`)
  await juliet.receives(done(juliet))
  await juliet.sends(fetchList)
  await juliet.receives(list(juliet, 'romeo@verona.example'))
})

conversation('XEP-0191: the list goes with the account', { modules }, async ({ connect, server, settle }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await blocks(juliet, 'romeo@verona.example')
  await server.accounts.delete(juliet.bareJid)
  await settle()
  const again = await connect('juliet@verona.example/balcony')
  await again.sends(fetchList)
  await again.receives(list(again))
})
