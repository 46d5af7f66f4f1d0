import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import {
  accountOf,
  authenticate,
  byPassword,
  byToken,
  LAPTOP,
  logsInQuickly,
  NS_BIND2,
  NS_FAST,
  NS_SASL2,
  PHONE,
  tokenAnswer,
  tokenIn,
  tokenProof,
  wantsBinding,
  wantsToken,
} from '#server/testing/quick-client.ts'
import { secureStage } from '#server/testing/secure-stage.ts'
import { failsWith } from '#server/testing/stream-end.ts'

const JULIET = 'juliet@verona.example'
const NS_SM = 'urn:xmpp:sm:3'
const memory = { carriers: ['memory'] } as const
const HEADER = `<?xml version='1.0'?><stream:stream from='${JULIET}' to='verona.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`

/** Logs juliet in by her password, and gives the token that her client asked for. */
const obtains = async ({ visit, createAccount }: Scene, clientId = PHONE, mechanism?: string): Promise<string> => {
  await createAccount(JULIET)
  const actor = await visit()
  return tokenIn(await logsInQuickly(actor, byPassword('juliet', wantsToken(mechanism), clientId)))
}

/** Somebody who has opened a stream. */
const opens = async ({ visit }: Scene): Promise<Actor> => {
  const actor = await visit()
  await actor.opensStream()
  return actor
}

const fails = async (scene: Scene, request: string, condition = 'credentials-expired'): Promise<void> => {
  const actor = await opens(scene)
  await actor.sends(request)
  await actor.receives(`<failure xmlns='${NS_SASL2}'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>`)
  await actor.receivesNothing()
}

/** Logs in by a token, and gives the new one if there is one. */
const comesBack = async (scene: Scene, request: string): Promise<string> =>
  tokenIn(await logsInQuickly(await scene.visit(), request))

conversation('XEP-0484 §3.1: which mechanisms take tokens; without TLS nothing can be bound to', {}, async ({ visit }) => {
  const actor = await visit()
  const features = await actor.opensStream()
  const fast = features.getChild('authentication', NS_SASL2)?.getChild('inline')?.getChild('fast', NS_FAST)
  expect(fast?.getChildren('mechanism').map((each) => each.text())).toEqual(['HT-SHA-256-NONE'])
  // There is no early data.
  expect(fast?.attrs['tls-0rtt']).toBeUndefined()
})

conversation('XEP-0484 §3.3, §3.4: a token is given out, and proves its client and the server', {}, async (scene) => {
  await scene.createAccount(JULIET)
  const first = await opens(scene)
  await first.sends(byPassword('juliet', wantsToken(), PHONE))
  const [success] = await first.receives(
    xml`<success xmlns='${NS_SASL2}'><authorization-identifier>${JULIET}</authorization-identifier><token xmlns='${NS_FAST}' token='${any}' expiry='${any}'/></success>`,
  )
  if (success === undefined) throw new Error('no success')
  const token = tokenIn(success)
  expect(token).toMatch(/^[\w-]{43}$/)
  const expiry = Date.parse(success.getChild('token', NS_FAST)?.attrs.expiry ?? '')
  expect(expiry - scene.clock.nowMs()).toBe(30 * 86_400_000)

  const actor = await opens(scene)
  await actor.sends(byToken('juliet', token))
  await actor.receives(
    xml`<success xmlns='${NS_SASL2}'><additional-data>${tokenAnswer(token)}</additional-data><authorization-identifier>${JULIET}</authorization-identifier></success>`,
  )
})

conversation(
  'XEP-0484 §3.4: a client that comes back is online in one round trip: everything it says, then everything it hears',
  { carriers: ['memory', 'tcp'] },
  async (scene) => {
    const token = await obtains(scene)
    const actor = await scene.visit()
    const binding = wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/>`)
    await actor.sendsRaw(HEADER + byToken('juliet', token, binding, { fast: `count='1'` }))
    expect((await actor.next()).getChild('authentication', NS_SASL2)).toBeDefined()
    const [success] = await actor.receives(
      xml`<success xmlns='${NS_SASL2}'><additional-data>${tokenAnswer(token)}</additional-data><authorization-identifier>${any}</authorization-identifier>
        <bound xmlns='${NS_BIND2}'><enabled xmlns='${NS_SM}' id='${any}' resume='true' max='300'/></bound></success>`,
    )
    expect((await actor.next()).name).toBe('features')
    const jid = success?.getChildText('authorization-identifier')
    await actor.sends(`<iq type='get' id='p' to='verona.example'><ping xmlns='urn:xmpp:ping'/></iq>`)
    await actor.receives(`<iq type='result' id='p' from='verona.example' to='${jid}'/>`, `<r xmlns='${NS_SM}'/>`)
  },
)

conversation('XEP-0484 §3.4, XEP-0198 §9.2: or it goes on where it was, in one round trip', memory, async (scene) => {
  const token = await obtains(scene)
  const lost = await scene.visit()
  const success = await logsInQuickly(lost, byToken('juliet', token, wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/>`)))
  const id = success.getChild('bound', NS_BIND2)?.getChild('enabled', NS_SM)?.attrs.id
  await lost.vanishes()
  const actor = await scene.visit()
  await actor.sendsRaw(HEADER + byToken('juliet', token, `<resume xmlns='${NS_SM}' previd='${id}' h='0'/>${wantsBinding()}`))
  expect((await actor.next()).name).toBe('features')
  const resumed = await actor.next()
  expect(resumed.getChildText('authorization-identifier')).toBe(lost.jid)
  expect(resumed.getChildren().map(({ name }) => name)).toEqual(['additional-data', 'authorization-identifier', 'resumed'])
  await actor.receivesNothing()
})

conversation(
  'XEP-0484 §4.2: a token that is wrong in whatever way has expired, also where there is no account',
  {},
  async (scene) => {
    const token = await obtains(scene)
    await scene.createAccount('romeo@verona.example')
    await fails(scene, byToken('juliet', `${token}x`))
    await fails(scene, byToken('juliet', token, '', { clientId: LAPTOP }))
    await fails(scene, byToken('romeo', token))
    await fails(scene, byToken('nobody', token))
    // It was good all the time.
    expect(await comesBack(scene, byToken('juliet', token, '', { clientId: PHONE.toUpperCase() }))).toBe('')
  },
)

conversation('XEP-0484 §3.4: who says it has a token proves that, and nothing else', memory, async (scene) => {
  const token = await obtains(scene)
  const fast = `<fast xmlns='${NS_FAST}'/>`
  await fails(scene, byPassword('juliet', fast, PHONE), 'invalid-mechanism')
  const noId = await opens(scene)
  await noId.sends(authenticate('HT-SHA-256-NONE', tokenProof('juliet', token), fast))
  await noId.receives(
    `<failure xmlns='${NS_SASL2}'><malformed-request xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><text>who has a token has a user-agent with an id</text></failure>`,
  )
  for (const initial of ['juliet', 'juliet\0short', `\0${'x'.repeat(32)}`, `juliet\0${'x'.repeat(33)}`])
    await fails(scene, authenticate('HT-SHA-256-NONE', initial, fast, PHONE), 'malformed-request')
  const other = await scene.visit()
  await other.opensStream(undefined, 'romeo@verona.example')
  await other.sends(byToken('juliet', token))
  await other.receives(`<failure xmlns='${NS_SASL2}'><invalid-authzid xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>`)
})

conversation('XEP-0484 §3.2: a token is given only where it can be used', memory, async (scene) => {
  await scene.createAccount(JULIET)
  for (const request of [
    byPassword('juliet', wantsToken()),
    byPassword('juliet', wantsToken('HT-SHA-256-EXPR'), PHONE),
    byPassword('juliet', wantsToken('PLAIN'), PHONE),
    byPassword('juliet', `<request-token xmlns='${NS_FAST}'/>`, PHONE),
  ])
    expect(await comesBack(scene, request)).toBe('')
})

conversation('XEP-0484 §3.4: a count that was used is not used again', memory, async (scene) => {
  const token = await obtains(scene)
  const withCount = (count: string) => byToken('juliet', token, '', { fast: `count='${count}'` })
  await comesBack(scene, withCount('3'))
  await fails(scene, withCount('3'))
  await fails(scene, withCount('2'))
  await comesBack(scene, withCount('4'))
  await comesBack(scene, byToken('juliet', token))
  await fails(scene, withCount('4'))
  for (const count of ['-1', 'x', '4294967296', '']) {
    const actor = await opens(scene)
    await actor.sends(withCount(count))
    expect((await actor.next()).getChild('malformed-request', 'urn:ietf:params:xml:ns:xmpp-sasl')).toBeDefined()
  }
})

conversation('XEP-0484 §3.5: a token is replaced in time, and the old one lives until the new one is used', {}, async (scene) => {
  const old = await obtains(scene)
  scene.clock.advance('2d')
  expect(await comesBack(scene, byToken('juliet', old))).toBe('')
  scene.clock.advance('2d')
  const lost = await comesBack(scene, byToken('juliet', old))
  const next = await comesBack(scene, byToken('juliet', old))
  expect(new Set(['', old, lost, next]).size).toBe(4)
  // Given out and never used, it is worth nothing once there is another.
  await fails(scene, byToken('juliet', lost))
  expect(await comesBack(scene, byToken('juliet', next))).toBe('')
  await fails(scene, byToken('juliet', old))
  expect(await comesBack(scene, byToken('juliet', next))).toBe('')
})

conversation('XEP-0484 §4.2: a token ends with its time', memory, async (scene) => {
  const token = await obtains(scene)
  scene.clock.advance('30d')
  await fails(scene, byToken('juliet', token))
})

conversation(
  'XEP-0484 §3.4: a client that comes back often enough never needs its password',
  { ...memory, nodes: 1 },
  async (scene) => {
    let token = await obtains(scene)
    for (let visits = 0; visits < 6; visits++) {
      scene.clock.advance('29d')
      token = (await comesBack(scene, byToken('juliet', token))) || token
    }
  },
)

conversation('XEP-0484 §3.6: a client takes its token back, and may ask for another', {}, async (scene) => {
  const token = await obtains(scene)
  const invalidate = { fast: `invalidate='true'` }
  scene.clock.advance('5d')
  expect(await comesBack(scene, byToken('juliet', token, '', invalidate))).toBe('')
  await fails(scene, byToken('juliet', token))

  const second = await obtains(scene)
  const third = await comesBack(scene, byToken('juliet', second, wantsToken(), { fast: `invalidate='1'` }))
  await fails(scene, byToken('juliet', second))
  expect(third).not.toBe('')
  await comesBack(scene, byToken('juliet', third))
})

conversation('a new password ends all tokens, and so do disabling and deleting the account', memory, async (scene) => {
  const { accounts } = scene.server
  const juliet = accountOf(JULIET)
  const phone = await obtains(scene)
  const laptop = await obtains(scene, LAPTOP)
  await accounts.setPassword(juliet, 'secret')
  await fails(scene, byToken('juliet', phone))
  await fails(scene, byToken('juliet', laptop, '', { clientId: LAPTOP }))

  const second = await obtains(scene)
  await accounts.setDisabled(juliet, true)
  await fails(scene, byToken('juliet', second))
  await accounts.setDisabled(juliet, false)
  await fails(scene, byToken('juliet', second))

  const third = await obtains(scene)
  await accounts.delete(juliet)
  await fails(scene, byToken('juliet', third))
  await scene.createAccount(JULIET)
  await fails(scene, byToken('juliet', third))
})

conversation('a token that outlived its password in the store is worth nothing', memory, async (scene) => {
  const token = await obtains(scene)
  const juliet = accountOf(JULIET)
  // As if the server had died between the new password and the end of the tokens.
  const account = await scene.driver.accounts.get(juliet)
  const keys = account?.credentials.scram['SHA-512']
  if (keys === undefined) throw new Error('no keys')
  const credentials = { scram: { 'SHA-512': { ...keys, salt: 'b3RoZXIgc2FsdCwgb3RoZXI=' } } }
  await scene.driver.accounts.update(juliet, { credentials })
  scene.server.accounts.forget(juliet)
  await fails(scene, byToken('juliet', token))
})

conversation(
  'tokens are tried no more often than passwords',
  { ...memory, config: { limits: { rates: true }, login: { allowPlainWithoutTls: true, failuresPerAddress: 2 } } },
  async (scene) => {
    const token = await obtains(scene)
    await fails(scene, byToken('juliet', 'wrong'))
    await fails(scene, byToken('juliet', 'wrong'))
    const actor = await opens(scene)
    await actor.sends(byToken('juliet', token))
    expect((await actor.next()).getChild('temporary-auth-failure', 'urn:ietf:params:xml:ns:xmpp-sasl')).toBeDefined()
  },
)

conversation(
  'an account remembers so many clients; those that were seen last stay',
  { ...memory, config: { login: { allowPlainWithoutTls: true, devicesPerAccount: 2 } } },
  async (scene) => {
    const clients = ['1', '2', '3'].map((digit) => PHONE.replace(/^d/, digit))
    const tokens: string[] = []
    for (const client of clients) {
      tokens.push(await obtains(scene, client))
      scene.clock.advance('1m')
      await scene.settle()
    }
    const [first = '', second = '', third = ''] = tokens
    await fails(scene, byToken('juliet', first, '', { clientId: clients[0] ?? '' }))
    await comesBack(scene, byToken('juliet', second, '', { clientId: clients[1] ?? '' }))
    await comesBack(scene, byToken('juliet', third, '', { clientId: clients[2] ?? '' }))
  },
)

conversation('a client whose access is revoked is put out, before and after it has bound', memory, async (scene) => {
  const token = await obtains(scene)
  const [unbound, bound, laptop] = [await scene.visit(), await scene.visit(), await scene.visit()]
  await logsInQuickly(bound, byToken('juliet', token, wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/>`)))
  await logsInQuickly(unbound, byToken('juliet', token))
  await logsInQuickly(laptop, byPassword('juliet', wantsBinding(), LAPTOP))
  for (const actor of [unbound, bound, laptop]) await actor.ignores()
  const juliet = accountOf(JULIET)
  const devices = await scene.server.devices.list(juliet)
  const phone = devices.find(({ current }) => current !== undefined)
  await scene.server.devices.revoke(juliet, phone?.id ?? '')
  await failsWith(bound, 'not-authorized')
  await failsWith(unbound, 'not-authorized')
  await fails(scene, byToken('juliet', token))
  expect(scene.server.sessions.of(juliet).map(({ jid }) => jid)).toEqual([laptop.jid])
})

for (const [mechanism, version, binding] of [
  ['HT-SHA-256-EXPR', 'TLSv1.3', 'exporter'],
  ['HT-SHA-256-ENDP', 'TLSv1.2', 'certificate'],
  ['HT-SHA-256-ENDP', 'TLSv1.3', 'certificate'],
] as const)
  test(`XEP-0484 §3.4: ${mechanism} over ${version} is good on its own channel, and by no other mechanism`, async () => {
    const stage = await secureStage('direct')
    const connects = async () => {
      const { actor, socket } = await stage.secures(version)
      const data =
        binding === 'exporter'
          ? socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
          : createHash('sha256').update(socket.getPeerCertificate().raw).digest()
      return { actor, data }
    }
    const first = await connects()
    const token = tokenIn(await logsInQuickly(first.actor, byPassword('juliet', wantsToken(mechanism), PHONE)))

    const second = await connects()
    const request = (data: Buffer, name: string = mechanism) =>
      authenticate(name, tokenProof('juliet', token, data), `<fast xmlns='${NS_FAST}'/>`, PHONE)
    await second.actor.opensStream()
    for (const wrong of [request(Buffer.alloc(32)), request(Buffer.alloc(0))]) {
      await second.actor.sends(wrong)
      expect((await second.actor.next()).getChild('credentials-expired', 'urn:ietf:params:xml:ns:xmpp-sasl')).toBeDefined()
    }
    // A client that can bind to the channel does so.
    await second.actor.sends(request(Buffer.alloc(0), 'HT-SHA-256-NONE'))
    expect((await second.actor.next()).getChild('invalid-mechanism', 'urn:ietf:params:xml:ns:xmpp-sasl')).toBeDefined()
    await second.actor.sends(request(second.data))
    const success = await second.actor.next()
    expect(success.getChildText('additional-data')).toBe(tokenAnswer(token, second.data))
  })
