import { expect } from 'vitest'
import { any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { registration } from './registration.ts'

const NS_FEATURE = 'http://jabber.org/features/iq-register'
const login = { allowPlainWithoutTls: true, scramIterations: 4096 }
const here = (section: Readonly<Record<string, boolean | number | string | readonly string[]>> = {}) => ({
  modules: [registration],
  carriers: ['memory'] as const,
  config: { login, modules: { registration: { mode: 'open', ...section } } },
})

const ask = (id: string) => xml`<iq type="get" id="${id}" to="verona.example"><query xmlns="jabber:iq:register"/></iq>`
const register = (id: string, username: string, password = 'a rose by any name') =>
  xml`<iq type="set" id="${id}" to="verona.example"><query xmlns="jabber:iq:register">
    <username>${username}</username><password>${password}</password></query></iq>`
const done = (id: string) => xml`<iq type="result" id="${id}" from="verona.example"/>`
const refused = (id: string, type: string, code: number, condition: string, text: string) =>
  xml`<iq type="error" id="${id}" from="verona.example"><error type="${type}" code="${code}">
    <${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>
    <text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">${text}</text></error></iq>`

/** Somebody who has opened a stream and no more. */
const stranger = async ({ visit }: Pick<Scene, 'visit'>, address?: string) => {
  const actor = await visit(address)
  const features = await actor.opensStream()
  return { actor, offers: features.getChild('register', NS_FEATURE) !== undefined }
}

conversation(
  'XEP-0077 §3.1, §8: a client finds the fields, makes an account, and logs in',
  { ...here(), carriers: ['memory', 'tcp', 'websocket'] },
  async (scene) => {
    const { actor: juliet, offers } = await stranger(scene)
    expect(offers).toBe(true)
    await juliet.sends(ask('r1'))
    await juliet.receives(xml`<iq type="result" id="r1" from="verona.example"><query xmlns="jabber:iq:register">
      <instructions>Choose a username and a password.</instructions><username/><password/></query></iq>`)
    await juliet.sends(register('r2', 'Juliet'))
    await juliet.receives(done('r2'))
    const again = await scene.visit()
    await again.logsIn('juliet', 'a rose by any name')
    await again.binds('balcony')
    expect(again.jid).toBe('juliet@verona.example/balcony')
  },
)

conversation(
  'XEP-0077 §3.1: a name that is taken, and names that are kept back',
  here({ reserved: ['Prince'] }),
  async (scene) => {
    await scene.createAccount('romeo@verona.example')
    const { actor } = await stranger(scene)
    await actor.sends(register('r1', 'romeo'))
    await actor.receives(refused('r1', 'cancel', 409, 'conflict', 'This name is taken.'))
    await actor.sends(register('r2', 'prince'))
    await actor.receives(refused('r2', 'cancel', 409, 'conflict', 'This name is taken.'))
  },
)

conversation('XEP-0077 §3.1: what is missing, too short, or no name', here(), async (scene) => {
  const { actor } = await stranger(scene)
  await actor.sends(register('r1', 'juliet', ''))
  await actor.receives(refused('r1', 'modify', 406, 'not-acceptable', 'A name and a password are needed.'))
  await actor.sends(register('r2', 'juliet', 'R0m30'))
  await actor.receives(refused('r2', 'modify', 406, 'not-acceptable', 'Please use a longer password.'))
  await actor.sends(register('r3', 'Capulet-Juliet', 'capulet-juliet'))
  await actor.receives(refused('r3', 'modify', 406, 'not-acceptable', 'The password is too weak'))
  for (const name of ['juliet@verona.example', 'two words', `j${'u'.repeat(64)}`]) {
    await actor.sends(register('r4', name))
    await actor.receives(refused('r4', 'modify', 400, 'jid-malformed', 'This is no name an account can have.'))
  }
})

conversation('XEP-0077 §4, §6: the fields may come in a data form', here(), async (scene) => {
  const { actor } = await stranger(scene)
  const form = (id: string, type: string) =>
    actor.sends(xml`<iq type="set" id="${id}"><query xmlns="jabber:iq:register"><x xmlns="jabber:x:data" type="${type}">
      <field var="FORM_TYPE" type="hidden"><value>jabber:iq:register</value></field>
      <field var="username"><value>juliet</value></field>
      <field var="password"><value>a rose by any name</value></field></x></query></iq>`)
  await form('r1', 'cancel')
  await actor.receives(xml`<iq type="error" id="r1" from="verona.example"><error type="modify" code="400">
    <bad-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>`)
  await form('r2', 'submit')
  await actor.receives(done('r2'))
})

conversation('XEP-0077 §3.1.1: a stream makes one account', here(), async (scene) => {
  const { actor } = await stranger(scene)
  await actor.sends(register('r1', 'juliet'))
  await actor.receives(done('r1'))
  await actor.sends(register('r2', 'rosaline'))
  await actor.receives(refused('r2', 'modify', 406, 'not-acceptable', 'This connection has made an account already.'))
})

// Each process counts for itself.
const counting = { ...here({ perAddress: 2 }), nodes: 1 }
conversation('XEP-0077 §3.1.1: an address asks for so many accounts an hour', counting, async (scene) => {
  for (const name of ['sampson', 'gregory']) {
    const { actor } = await stranger(scene, '2001:db8::1')
    await actor.sends(register('r1', name))
    await actor.receives(done('r1'))
  }
  // The same network.
  const { actor } = await stranger(scene, '2001:db8::2')
  await actor.sends(register('r1', 'abram'))
  const text = 'Too many accounts were asked for from your address. Try again later.'
  await actor.receives(refused('r1', 'wait', 500, 'resource-constraint', text))
  const { actor: elsewhere } = await stranger(scene, '2001:db8:1::1')
  await elsewhere.sends(register('r1', 'balthasar'))
  await elsewhere.receives(done('r1'))
  scene.clock.advance('30m')
  const { actor: later } = await stranger(scene, '2001:db8::2')
  await later.sends(register('r2', 'abram'))
  await later.receives(done('r2'))
})

conversation('XEP-0077 §3.1: registration by invitation says so', here({ mode: 'invitation' }), async (scene) => {
  const { actor, offers } = await stranger(scene)
  expect(offers).toBe(true)
  for (const stanza of [ask('r1'), register('r1', 'juliet')]) {
    await actor.sends(stanza)
    await actor.receives(refused('r1', 'cancel', 405, 'not-allowed', 'Accounts on this server are made by invitation.'))
  }
})

conversation('XEP-0077 §3.1: closed registration is not on offer', here({ mode: 'closed' }), async (scene) => {
  const { actor, offers } = await stranger(scene)
  expect(offers).toBe(false)
  await actor.sends(ask('r1'))
  await actor.receives(xml`<iq type="error" id="r1" from="verona.example"><error type="cancel" code="503">
    <service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>`)
})

conversation(
  'XEP-0077 §11: nothing is registered where the password can be read',
  { ...here(), config: { login: { allowPlainWithoutTls: false }, modules: { registration: { mode: 'open' } } } },
  async (scene) => {
    const { actor, offers } = await stranger(scene)
    expect(offers).toBe(false)
    await actor.sends(register('r1', 'juliet'))
    await actor.receives(refused('r1', 'modify', 401, 'not-authorized', 'TLS comes first.'))
  },
)

conversation(
  'A development server lets everybody make an account with any password',
  { modules: [registration], carriers: ['memory'], isDev: true },
  async (scene) => {
    const { actor } = await stranger(scene)
    await actor.sends(register('r1', 'load-1', 'x'))
    await actor.receives(done('r1'))
  },
)

conversation('XEP-0077 §3.1: an account that asks learns that it is registered', here(), async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  for (const to of [domain, juliet.bareJid]) {
    await juliet.sends(xml`<iq type="get" id="g1" to="${to}"><query xmlns="jabber:iq:register"/></iq>`)
    await juliet.receives(xml`<iq type="result" id="g1" from="${to}" to="${juliet.jid}"><query xmlns="jabber:iq:register">
      <registered/><instructions>${any}</instructions><username>juliet</username><password/></query></iq>`)
  }
})

conversation('XEP-0077 §3.3: an account changes its password; its other sessions end', here(), async (scene) => {
  const juliet = await scene.connect('juliet@verona.example/balcony')
  const chamber = await scene.connect('juliet@verona.example/chamber')
  await juliet.sends(register('c1', 'juliet', 'parting is such sweet sorrow'))
  await juliet.receives(xml`<iq type="result" id="c1" from="verona.example" to="${juliet.jid}"/>`)
  const [error] = await chamber.collects()
  expect(error?.getChild('reset', 'urn:ietf:params:xml:ns:xmpp-streams')).toBeDefined()
  expect(chamber.hasEnded).toBe(true)
  const again = await scene.visit()
  await again.logsIn('juliet', 'parting is such sweet sorrow')
})

conversation('XEP-0077 §3.3: nobody changes the password of another, or to nothing', here(), async (scene) => {
  const tybalt = await scene.connect('tybalt@verona.example/square')
  await scene.createAccount('juliet@verona.example')
  for (const [username, password] of [
    ['tybalt', ''],
    ['', 'prince of cats'],
  ] as const) {
    await tybalt.sends(register('c1', username, password))
    await tybalt.receives(refusal('bad-request', { id: 'c1', from: 'verona.example', to: tybalt.jid }))
  }
  for (const username of ['juliet', 'mercutio']) {
    await tybalt.sends(register('c2', username, 'prince of cats'))
    const [answer] = await tybalt.collects()
    expect(answer?.getChild('error')?.getChild('not-allowed', 'urn:ietf:params:xml:ns:xmpp-stanzas')).toBeDefined()
  }
  const juliet = await scene.visit()
  await juliet.logsIn('juliet', 'secret')
})

conversation('XEP-0077 §3.2: an account is closed: the result, then the end of every session', here(), async (scene) => {
  const bill = await scene.connect('bill@verona.example/globe')
  const elsewhere = await scene.connect('bill@verona.example/home')
  await bill.sends(xml`<iq type="set" id="u1"><query xmlns="jabber:iq:register"><remove/></query></iq>`)
  const gone = xml`<stream:error xmlns:stream="http://etherx.jabber.org/streams">
    <not-authorized xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>
    <text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">the account was deleted</text></stream:error>`
  await bill.receives(xml`<iq type="result" id="u1" from="bill@verona.example" to="${bill.jid}"/>`, gone)
  await elsewhere.receives(gone)
  expect(await scene.server.accounts.exists(bill.bareJid)).toBe(false)
})

conversation('XEP-0077 §3.2: removal comes alone, and from an account', here(), async (scene) => {
  const bill = await scene.connect('bill@verona.example/globe')
  await bill.sends(xml`<iq type="set" id="u1"><query xmlns="jabber:iq:register"><remove/><username>bill</username></query></iq>`)
  await bill.receives(refusal('bad-request', { id: 'u1', from: bill.bareJid, to: bill.jid }))
  const { actor } = await stranger(scene)
  await actor.sends(xml`<iq type="set" id="u2"><query xmlns="jabber:iq:register"><remove/></query></iq>`)
  await actor.receives(xml`<iq type="error" id="u2" from="verona.example"><error type="wait" code="400">
    <unexpected-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>`)
})
