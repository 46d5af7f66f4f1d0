import { expect } from 'vitest'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { ends, failsWith } from '#server/testing/stream-end.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'

const NS = 'urn:ietf:params:xml:ns:xmpp-bind'
const account = 'juliet@verona.example'

const request = (id: string, resource?: string): string =>
  `<iq type="set" id="${id}"><bind xmlns="${NS}">${resource === undefined ? '' : `<resource>${resource}</resource>`}</bind></iq>`
const bound = (id: string, jid: string): string =>
  `<iq type="result" id="${id}"><bind xmlns="${NS}"><jid>${jid}</jid></bind></iq>`
const refused = (id: string, condition: StanzaErrorCondition): string =>
  `<iq type="error" id="${id}">${serialize(new StanzaError(condition).toElement(), 'jabber:client')}</iq>`

const ping = (id: string): string => xml`<iq type="get" id="${id}" to="verona.example"><ping xmlns="urn:xmpp:ping"/></iq>`

/** Logged in, and not bound. */
const known = async ({ visit, createAccount }: Scene): Promise<Actor> => {
  await createAccount(account).catch(() => undefined)
  const actor = await visit()
  await actor.logsIn('juliet', 'secret')
  return actor
}

conversation('RFC 6120 §7.4: binding is offered after the login, and the old session as optional', {}, async (scene) => {
  await scene.createAccount(account)
  const actor = await scene.visit()
  const before = await actor.opensStream()
  expect(before.getChild('bind', NS)).toBeUndefined()
  const features = await (await scene.visit()).logsIn('juliet', 'secret')
  expect(features.getChild('bind', NS)).toBeDefined()
  expect(features.getChild('session', 'urn:ietf:params:xml:ns:xmpp-session')?.getChild('optional')).toBeDefined()
})

conversation('RFC 6120 §7.6: the server makes a resource where the client names none', {}, async (scene) => {
  const resources = new Set<string>()
  for (const said of [request('b1'), request('b1', '')]) {
    const actor = await known(scene)
    await actor.sends(said)
    const [answer] = await actor.receives(bound('b1', any))
    const jid = answer?.getChild('bind', NS)?.getChildText('jid') ?? ''
    expect(jid).toMatch(/^juliet@verona\.example\/[\w-]{16}$/)
    resources.add(jid)
  }
  expect(resources.size).toBe(2)
})

conversation('RFC 6120 §7.7: the client names the resource, which is prepared (RFC 7622 §3.4)', {}, async (scene) => {
  for (const [written, prepared] of [
    ['balcony', 'balcony'],
    ['The  Balcony', 'The  Balcony'],
    ['balcony/left@home', 'balcony/left@home'],
    ['ba\u030alcony', 'b\u00e5lcony'],
    ['\u00a0', ' '],
    ['&lt;&amp;&apos;', "<&amp;'".replace('<', '&lt;')],
  ] as const) {
    const actor = await known(scene)
    await actor.sends(request('b1', written))
    await actor.receives(bound('b1', `${account}/${prepared}`))
    await actor.sends(ping('p1'))
    expect((await actor.next()).attrs.type).toBe('result')
  }
})

conversation('RFC 6120 §7.7.2.1: what is no resource, after which another may be asked for', {}, async (scene) => {
  for (const bad of ['\u0085', '\u0378', 'x'.repeat(1_024), '\u200d']) {
    const actor = await known(scene)
    await actor.sends(request('b1', bad))
    await actor.receives(refused('b1', 'bad-request'))
    await actor.sends(request('b2', 'balcony'))
    await actor.receives(bound('b2', `${account}/balcony`))
  }
})

conversation('RFC 6120 §7.7.2.2: who binds a resource that is bound ends its old session', {}, async (scene) => {
  const old = await scene.connect(`${account}/balcony`)
  const other = await scene.connect(`${account}/chamber`)
  const young = await known(scene)
  await young.sends(request('b1', 'balcony'))
  await young.receives(bound('b1', `${account}/balcony`))
  await failsWith(old, 'conflict')
  await other.receivesNothing()
  await young.sends(ping('p1'))
  expect((await young.next()).attrs.type).toBe('result')
  expect(scene.server.sessions.count).toBe(2)
})

conversation('RFC 6120 §7.6.2.2: a stream binds one resource', {}, async ({ connect }) => {
  const juliet = await connect(`${account}/balcony`)
  await juliet.sends(request('b2', 'chamber'))
  await juliet.receives(refusal('not-allowed', { id: 'b2', from: account, to: juliet.jid }))
  await juliet.sends(ping('p1'))
  await juliet.receives(xml`<iq type="result" id="p1" from="verona.example" to="${juliet.jid}"/>`)
})

const few = { config: { login: { allowPlainWithoutTls: true }, limits: { sessionsPerAccount: 2 } } }

conversation('RFC 6120 §7.6.2.1: an account has no more sessions than the configuration says', few, async (scene) => {
  const first = await scene.connect(`${account}/balcony`)
  await scene.connect(`${account}/chamber`)
  const third = await known(scene)
  await third.sends(request('b1', 'garden'))
  await third.receives(refused('b1', 'resource-constraint'))
  await third.sends(request('b2', 'chamber'))
  await third.receives(bound('b2', `${account}/chamber`))
  await first.leaves()
  const fourth = await known(scene)
  await fourth.sends(request('b3', 'garden'))
  await fourth.receives(bound('b3', `${account}/garden`))
})

conversation('RFC 6120 §7.1: a request that is no binding', {}, async (scene) => {
  for (const said of [
    `<iq type="get" id="b1"><bind xmlns="${NS}"/></iq>`,
    '<iq type="set" id="b1"><bind xmlns="urn:wrong"/></iq>',
    xml`<iq type="set" id="s1"><session xmlns="urn:ietf:params:xml:ns:xmpp-session"/></iq>`,
  ]) {
    const actor = await known(scene)
    await actor.sends(said)
    await failsWith(actor, 'not-authorized')
  }
})

conversation('RFC 3921 §3: the session that older clients ask for is granted', {}, async ({ connect }) => {
  const juliet = await connect(`${account}/balcony`)
  const session = '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"/>'
  await juliet.sends(`<iq type="set" id="s1">${session}</iq>`)
  await juliet.receives(xml`<iq type="result" id="s1" from="${account}" to="${juliet.jid}"/>`)
  await juliet.sends(`<iq type="set" id="s2" to="verona.example">${session}</iq>`)
  await juliet.receives(xml`<iq type="result" id="s2" from="verona.example" to="${juliet.jid}"/>`)
})

conversation(
  'RFC 6120 §7.1: a client that sends everything at once is served in order',
  { carriers: ['memory', 'tcp'] },
  async (scene) => {
    const actor = await known(scene)
    await actor.sends(`${request('b1', 'balcony')}${ping('p1')}${ping('p2')}</stream:stream>`)
    const pong = (id: string): string => `<iq type="result" id="${id}" from="verona.example" to="${account}/balcony"/>`
    await actor.receives(bound('b1', `${account}/balcony`), pong('p1'), pong('p2'))
    await ends(actor)
  },
)
