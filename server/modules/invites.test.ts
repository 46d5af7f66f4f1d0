import { expect } from 'vitest'
import type { Invite } from '#server/base/operations.ts'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { type InvitesApi, invites } from './invites.ts'
import { presence } from './presence.ts'

const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const login = { allowPlainWithoutTls: true, scramIterations: 4096 }
const here = (modules: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {}) => ({
  modules: [presence, invites],
  carriers: ['memory'] as const,
  config: { login, admins: ['prince@verona.example'], modules },
})

const everywhere = { ...here(), carriers: ['memory', 'tcp', 'websocket'] as const }

const apiOf = ({ server }: Scene) => server.apis.get('invites') as InvitesApi
const password = 'a rose by any name'

const register = (id: string, username: string) =>
  xml`<iq type="set" id="${id}" to="verona.example"><query xmlns="jabber:iq:register">
    <username>${username}</username><password>${password}</password></query></iq>`
const preauth = (id: string, token: string) =>
  xml`<iq type="set" id="${id}" to="verona.example"><preauth xmlns="urn:xmpp:pars:0" token="${token}"/></iq>`
const done = (id: string) => xml`<iq type="result" id="${id}" from="verona.example"/>`
const refused = (id: string, type: string, code: number, condition: string, text: string) =>
  xml`<iq type="error" id="${id}" from="verona.example"><error type="${type}" code="${code}">
    <${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>
    <text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">${text}</text></error></iq>`
const unknownToken = (id: string) => refused(id, 'cancel', 404, 'item-not-found', 'The provided token is invalid or expired')

const visits = async (scene: Scene, address?: string): Promise<Actor> => {
  const actor = await scene.visit(address)
  await actor.opensStream()
  return actor
}
const asksForRoster = async (actor: Actor): Promise<void> => {
  await actor.sends(xml`<iq type="get" id="roster"><query xmlns="jabber:iq:roster"/></iq>`)
  await actor.ignores()
}
const push = (to: string, jid: string) =>
  xml`<iq type="set" id="${any}" to="${to}"><query xmlns="jabber:iq:roster" ver="${any}">
    <item jid="${jid}" subscription="both"/></query></iq>`

conversation('XEP-0445 §3, §4: a token opens registration, and is used up by it', everywhere, async (scene) => {
  const { token, uri, url } = await apiOf(scene).create({ kind: 'account' })
  expect(token).toMatch(/^[0-9a-f]{32}$/)
  expect(uri).toBe(`xmpp:verona.example?register;preauth=${token}`)
  expect(url).toBe(`https://verona.example/invite/${token}`)

  const juliet = await scene.visit()
  const features = await juliet.opensStream()
  expect(features.getChild('register', 'urn:xmpp:ibr-token:0')).toBeDefined()
  expect(features.getChild('register', 'http://jabber.org/features/iq-register')).toBeDefined()
  await juliet.sends(preauth('p1', 'nothing'))
  await juliet.receives(unknownToken('p1'))
  await juliet.sends(preauth('p2', token))
  await juliet.receives(done('p2'))
  await scene.createAccount('romeo@verona.example')
  // A registration that fails leaves the token good.
  await juliet.sends(register('r1', 'romeo'))
  await juliet.receives(refused('r1', 'cancel', 409, 'conflict', 'This name is taken.'))
  await juliet.sends(register('r2', 'juliet'))
  await juliet.receives(done('r2'))

  const tybalt = await visits(scene)
  await tybalt.sends(preauth('p3', token))
  await tybalt.receives(unknownToken('p3'))
})

conversation(
  'XEP-0445 §4: a token shown in time is good on that stream even when it expires meanwhile',
  here(),
  async (scene) => {
    const { token } = await apiOf(scene).create({ kind: 'account', lifetimeMs: 1_000 })
    const quick = await visits(scene)
    await quick.sends(preauth('p2', token))
    await quick.receives(done('p2'))
    scene.clock.advance('2s')
    const late = await visits(scene)
    await late.sends(preauth('p3', token))
    await late.receives(unknownToken('p3'))
    await quick.sends(register('r1', 'rosaline'))
    await quick.receives(done('r1'))
  },
)

conversation('XEP-0445 §4: of two who show a token, one makes an account', here(), async (scene) => {
  const { token } = await apiOf(scene).create({ kind: 'account' })
  const [first, second] = [await visits(scene), await visits(scene)]
  for (const actor of [first, second]) {
    await actor.sends(preauth('p1', token))
    await actor.receives(done('p1'))
  }
  await first.sends(register('r1', 'sampson'))
  await first.receives(done('r1'))
  await second.sends(register('r1', 'gregory'))
  await second.receives(refused('r1', 'cancel', 405, 'not-allowed', 'This invitation has been used.'))
  expect(await scene.server.accounts.exists('gregory@verona.example' as never)).toBe(false)
})

conversation('XEP-0445 §5: a name in an invitation is kept for it', here({ registration: { mode: 'open' } }), async (scene) => {
  const { token, uri } = await apiOf(scene).create({ kind: 'account', localpart: 'Juliet', lifetimeMs: 3_600_000 })
  expect(uri).toBe(`xmpp:juliet@verona.example?register;preauth=${token}`)
  const tybalt = await visits(scene)
  await tybalt.sends(register('r1', 'juliet'))
  await tybalt.receives(refused('r1', 'cancel', 409, 'conflict', 'This name is taken.'))
  const juliet = await visits(scene)
  await juliet.sends(preauth('p1', token))
  await juliet.receives(done('p1'))
  await juliet.sends(register('r1', 'rosaline'))
  await juliet.receives(refused('r1', 'modify', 406, 'not-acceptable', 'This invitation is for the name juliet.'))
  await juliet.sends(register('r2', 'juliet'))
  await juliet.receives(done('r2'))
  await expect(apiOf(scene).create({ kind: 'account', localpart: 'juliet' })).rejects.toThrow(
    'juliet@verona.example is there already',
  )
  await expect(apiOf(scene).create({ kind: 'account', localpart: 'a b' })).rejects.toThrow('no name')
})

conversation('XEP-0445 §2.3, XEP-0401 §5.5: inviter and guest are contacts once the account is made', here(), async (scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  await asksForRoster(romeo)
  const { token, uri } = await apiOf(scene).create({ kind: 'contact', account: 'romeo@verona.example' })
  expect(uri).toBe(`xmpp:romeo@verona.example?roster;preauth=${token};ibr=y`)
  const visitor = await visits(scene)
  await visitor.sends(preauth('p1', token))
  await visitor.receives(done('p1'))
  await visitor.sends(register('r1', 'juliet'))
  await visitor.receives(done('r1'))
  await romeo.receives(push(romeo.jid, 'juliet@verona.example'))
  await romeo.receivesNothing()

  const juliet = await scene.visit()
  await juliet.logsIn('juliet', password)
  await juliet.binds('balcony')
  await juliet.sends(xml`<iq type="get" id="r1"><query xmlns="jabber:iq:roster"/></iq>`)
  await juliet.receives(xml`<iq type="result" id="r1" from="${juliet.bareJid}" to="${juliet.jid}">
    <query xmlns="jabber:iq:roster" ver="${any}"><item jid="romeo@verona.example" subscription="both"/></query></iq>`)
  await juliet.sends('<presence/>')
  await romeo.receives(xml`<presence from="${juliet.jid}" to="${romeo.bareJid}"/>`)
})

conversation('XEP-0379 §3.4, §3.5: a request with a good token is granted both ways, once', everywhere, async (scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  await asksForRoster(romeo)
  await asksForRoster(juliet)
  const { token } = await apiOf(scene).create({ kind: 'contact', account: 'romeo@verona.example' })
  const request = xml`<presence type="subscribe" to="${romeo.bareJid}"><preauth xmlns="urn:xmpp:pars:0" token="${token}"/></presence>`
  await juliet.sends(request)
  await juliet.receives(
    xml`<iq type="set" id="${any}" to="${juliet.jid}"><query xmlns="jabber:iq:roster" ver="${any}">
      <item jid="${romeo.bareJid}" subscription="none" ask="subscribe"/></query></iq>`,
    xml`<presence type="subscribed" from="${romeo.bareJid}" to="${juliet.jid}"/>`,
    push(juliet.jid, romeo.bareJid),
    xml`<presence from="${romeo.jid}" to="${juliet.bareJid}"/>`,
  )
  await romeo.receives(push(romeo.jid, juliet.bareJid), xml`<presence from="${juliet.jid}" to="${romeo.bareJid}"/>`)
  await juliet.receivesNothing()

  // §4.1: used up, it is a request like any other.
  const tybalt = await scene.comesOnline('tybalt@verona.example/square')
  await tybalt.sends(request)
  await romeo.receives(xml`<presence type="subscribe" from="${tybalt.bareJid}" to="${romeo.bareJid}">
    <preauth xmlns="urn:xmpp:pars:0" token="${token}"/></presence>`)
})

conversation('XEP-0379 §5.2: a token is good for one account’s contacts, and until its time', here(), async (scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const api = apiOf(scene)
  await scene.createAccount('nurse@verona.example')
  const { token: other } = await api.create({ kind: 'contact', account: 'nurse@verona.example' })
  const { token: brief } = await api.create({ kind: 'contact', account: 'romeo@verona.example', lifetimeMs: 1_000 })
  const { token: account } = await api.create({ kind: 'account' })
  scene.clock.advance('1s')
  await juliet.sends(
    xml`<presence type="subscribe" to="${romeo.bareJid}"><preauth xmlns="urn:xmpp:pars:0" token="${other}"/></presence>`,
  )
  await romeo.receives(xml`<presence type="subscribe" from="${juliet.bareJid}" to="${romeo.bareJid}">
    <preauth xmlns="urn:xmpp:pars:0" token="${other}"/></presence>`)
  for (const token of [brief, account]) {
    await juliet.sends(
      xml`<presence type="subscribe" to="${romeo.bareJid}"><preauth xmlns="urn:xmpp:pars:0" token="${token}"/></presence>`,
    )
    await romeo.receivesNothing()
  }
  expect((await api.peek(other))?.inviter).toBe('nurse@verona.example')
})

conversation(
  'XEP-0401 §5.1: everyone may invite a contact, who may make an account only if the inviter may grant it',
  here(),
  async (scene) => {
    const command = xml`<iq type="set" id="c1" to="verona.example"><command xmlns="${NS_COMMANDS}" node="urn:xmpp:invite#invite"/></iq>`
    for (const [name, ibr] of [
      ['romeo', ''],
      ['prince', ';ibr=y'],
    ] as const) {
      const actor = await scene.connect(`${name}@verona.example/here`)
      await actor.sends(command)
      const [answer] = await actor.receives(xml`<iq type="result" id="c1" from="verona.example" to="${actor.jid}">
      <command xmlns="${NS_COMMANDS}" node="urn:xmpp:invite#invite" sessionid="${any}" status="completed">
        <x xmlns="jabber:x:data" type="result">${any}</x></command></iq>`)
      const values = fieldsOf(answer?.getChild('command', NS_COMMANDS)?.getChild('x', 'jabber:x:data'))
      const token = /preauth=([0-9a-f]+)/.exec(values.uri ?? '')?.[1]
      expect(values).toEqual({
        FORM_TYPE: 'urn:xmpp:invite#invitation',
        uri: `xmpp:${name}@verona.example?roster;preauth=${token}${ibr}`,
        'landing-url': `https://verona.example/invite/${token}`,
        expire: '2026-01-08T00:00:00.000Z',
      })
      const guest = await visits(scene)
      await guest.sends(preauth('p1', token ?? ''))
      await guest.receives(ibr === '' ? unknownToken('p1') : done('p1'))
    }
  },
)

conversation(
  'XEP-0401 §5.1: an account has so many invitations open, and none when it is gone',
  here({ invites: { perAccount: 1 } }),
  async (scene) => {
    const command = xml`<iq type="set" id="c1" to="verona.example"><command xmlns="${NS_COMMANDS}" node="urn:xmpp:invite#invite"/></iq>`
    const romeo = await scene.connect('romeo@verona.example/orchard')
    await romeo.sends(command)
    const [first] = await romeo.collects()
    const form = first?.getChild('command', NS_COMMANDS)?.getChild('x', 'jabber:x:data')
    const token = /preauth=([0-9a-f]+)/.exec(fieldsOf(form).uri ?? '')?.[1] ?? ''
    await romeo.sends(command)
    const [second] = await romeo.collects()
    expect(second?.getChild('error')?.getChildText('text', 'urn:ietf:params:xml:ns:xmpp-stanzas')).toContain('1 invitations')
    expect(await apiOf(scene).peek(token)).toBeDefined()
    await scene.server.accounts.delete(romeo.bareJid)
    await scene.settle()
    expect(await apiOf(scene).peek(token)).toBeUndefined()
  },
)

conversation('XEP-0401 §5.4: an administrator makes an invitation to an account', here(), async (scene) => {
  const node = 'urn:xmpp:invite#create-account'
  const execute = (id: string, attrs = '', content = '') =>
    xml`<iq type="set" id="${id}" to="verona.example"><command xmlns="${NS_COMMANDS}" node="${node}" ${attrs}>${content}</command></iq>`
  const submit = (
    username: string,
  ) => xml`<x xmlns="jabber:x:data" type="submit"><field var="username"><value>${username}</value></field>
    <field var="roster-subscription"><value>true</value></field></x>`
  const romeo = await scene.connect('romeo@verona.example/orchard')
  await romeo.sends(execute('c1'))
  await romeo.receives(refusal('forbidden', { id: 'c1', from: 'verona.example', to: romeo.jid }))

  const prince = await scene.comesOnline('prince@verona.example/court')
  await asksForRoster(prince)
  await prince.sends(execute('c2'))
  const [asked] = await prince.receives(xml`<iq type="result" id="c2" from="verona.example" to="${prince.jid}">
    <command xmlns="${NS_COMMANDS}" node="${node}" sessionid="${any}" status="executing">
      <actions execute="complete"><complete/></actions><x xmlns="jabber:x:data" type="form">${any}</x></command></iq>`)
  const session = `sessionid="${asked?.getChild('command', NS_COMMANDS)?.attrs.sessionid}"`
  await prince.sends(execute('c3', session, submit('romeo')))
  const [taken] = await prince.collects()
  expect(taken?.getChild('error')?.getChild('bad-payload', NS_COMMANDS)).toBeDefined()
  await prince.sends(execute('c4', session, submit('juliet')))
  const [made] = await prince.collects()
  const { uri } = fieldsOf(made?.getChild('command', NS_COMMANDS)?.getChild('x', 'jabber:x:data'))
  const token = /^xmpp:juliet@verona\.example\?register;preauth=([0-9a-f]+)$/.exec(uri ?? '')?.[1] ?? ''
  const guest = await visits(scene)
  await guest.sends(preauth('p1', token))
  await guest.receives(done('p1'))
  await guest.sends(register('r1', 'juliet'))
  await guest.receives(done('r1'))
  await prince.receives(push(prince.jid, 'juliet@verona.example'))
})

conversation(
  'Closed registration: no token opens it, and invitations do not promise it',
  here({ registration: { mode: 'closed' } }),
  async (scene) => {
    await scene.createAccount('romeo@verona.example')
    const { token, uri } = await apiOf(scene).create({ kind: 'contact', account: 'romeo@verona.example' })
    expect(uri).toBe(`xmpp:romeo@verona.example?roster;preauth=${token}`)
    await expect(apiOf(scene).create({ kind: 'account' })).rejects.toThrow('closed')
    await expect(apiOf(scene).create({ kind: 'contact', account: 'nobody@verona.example' })).rejects.toThrow('no account')
    const guest = await scene.visit()
    const features = await guest.opensStream()
    expect(features.getChild('register', 'urn:xmpp:ibr-token:0')).toBeUndefined()
    await guest.sends(preauth('p1', token))
    await guest.receives(unknownToken('p1'))
  },
)

// ---- the page

interface Page {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

const browse = async (
  { server }: Scene,
  { token }: Pick<Invite, 'token'>,
  {
    form,
    secure = true,
    remoteAddress = '192.0.2.9',
  }: { readonly form?: Readonly<Record<string, string>>; readonly secure?: boolean; readonly remoteAddress?: string } = {},
): Promise<Page> => {
  const method = form === undefined ? 'GET' : 'POST'
  const route = server.http.find((each) => each.method === method && each.path === '/invite/*')
  let page: Page | undefined
  const body = Buffer.from(new URLSearchParams(form).toString())
  const request = {
    method,
    path: `/invite/${token}`,
    rest: token,
    query: new URLSearchParams(),
    headers: { 'user-agent': 'Mozilla/5.0 (Android 15; Mobile)' },
    remoteAddress,
    secure,
    body: () => Promise.resolve(body),
    chunks: (async function* () {
      yield body
    })(),
  }
  await route?.handle(request, {
    send(status, headers = {}, text = '') {
      page = { status, headers, text: String(text) }
      return Promise.resolve()
    },
  })
  if (page === undefined) throw new Error('no page came')
  return page
}

conversation('XEP-0379 §3.3: the page says who invites, has the link, and lists apps', here(), async (scene) => {
  await scene.createAccount('romeo@verona.example')
  const invite = await apiOf(scene).create({ kind: 'contact', account: 'romeo@verona.example' })
  const { status, headers, text } = await browse(scene, invite)
  expect(status).toBe(200)
  expect(text).toContain('<h1>romeo@verona.example invites you to chat</h1>')
  expect(text).toContain(`href="xmpp:romeo@verona.example?roster;preauth=${invite.token};ibr=y"`)
  expect(text).toContain('<form method="post">')
  expect(text).not.toContain('<script')
  expect(text.indexOf('Conversations')).toBeLessThan(text.indexOf('Gajim'))
  expect(headers).toMatchObject({ 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' })
  expect(headers['Content-Security-Policy']).toContain("default-src 'none'")
})

conversation('The page makes an account, once, and only where a password may be typed', here(), async (scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  await asksForRoster(romeo)
  const invite = await apiOf(scene).create({ kind: 'contact', account: romeo.bareJid })
  const form = { username: 'Juliet', password }
  expect((await browse(scene, invite, { secure: false })).text).not.toContain('<form')
  expect((await browse(scene, invite, { secure: false, form })).status).toBe(403)
  expect((await browse(scene, invite, { secure: false, remoteAddress: '127.0.0.1' })).text).toContain('<form')

  const short = await browse(scene, invite, { form: { username: '"><b>', password: 'short' } })
  expect(short.status).toBe(422)
  expect(short.text).toContain('role="alert"')
  expect(short.text).toContain('value="&quot;&gt;&lt;b&gt;"')
  expect((await browse(scene, invite, { form: { username: 'romeo', password } })).status).toBe(409)

  const ready = await browse(scene, invite, { form })
  expect(ready.status).toBe(200)
  expect(ready.text).toContain('juliet@verona.example')
  await romeo.receives(push(romeo.jid, 'juliet@verona.example'))
  expect((await browse(scene, invite, { form: { ...form, username: 'rosaline' } })).status).toBe(404)
  const juliet = await scene.visit()
  await juliet.logsIn('juliet', password)
})

conversation('The page of no invitation; and whoever tries many tokens has to wait', here(), async (scene) => {
  for (let i = 0; i < 30; i++) {
    const { status, text } = await browse(scene, { token: `${i}`.padStart(32, '0') })
    expect(status).toBe(404)
    expect(text).toContain('no longer good')
  }
  expect((await browse(scene, { token: '/../' })).status).toBe(429)
  expect((await browse(scene, { token: 'x' }, { remoteAddress: '192.0.2.10' })).status).toBe(404)
})

const fieldsOf = (
  form:
    | {
        getChildren(
          name: string,
        ): readonly { readonly attrs: Readonly<Record<string, string>>; getChildText(name: string): string | undefined }[]
      }
    | undefined,
) => Object.fromEntries((form?.getChildren('field') ?? []).map((field) => [field.attrs.var ?? '', field.getChildText('value')]))
