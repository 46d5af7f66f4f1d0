import { createHash } from 'node:crypto'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { type Actor, conversation, xml } from '#server/testing/conversation.ts'
import { ScramClient, type ScramClientOptions } from '#server/testing/scram-client.ts'
import { type SecureClient, type SocketClient, secureStage } from '#server/testing/secure-stage.ts'
import { failsWith } from '#server/testing/stream-end.ts'
import type { Element } from '#stanzas/element.ts'

const NS = 'urn:ietf:params:xml:ns:xmpp-tls'
const NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
const STARTTLS = `<starttls xmlns='${NS}'/>`
const PROCEED = `<proceed xmlns='${NS}'/>`
const FAILURE = `<failure xmlns='${NS}'/>`
const unbound = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']
const all = unbound.flatMap((name) => [`${name}-PLUS`, name])

const auth = (mechanism: string, data: Buffer): string =>
  `<auth xmlns='${NS_SASL}' mechanism='${mechanism}'>${data.toString('base64')}</auth>`
const plain = auth('PLAIN', Buffer.from('\0juliet\0secret'))

const mechanismsOf = (features: Element): readonly string[] =>
  features
    .getChild('mechanisms', NS_SASL)
    ?.getChildren('mechanism')
    .map((each) => each.text()) ?? []
const bindingsOf = (features: Element): readonly string[] | undefined =>
  features
    .getChild('sasl-channel-binding', 'urn:xmpp:sasl-cb:0')
    ?.getChildren('channel-binding')
    .map(({ attrs }) => attrs.type ?? '')

/** Asks for TLS in the clear. */
const asks = async ({ actor }: SocketClient): Promise<void> => {
  await actor.opensStream()
  await actor.sends(STARTTLS)
  await actor.receives(PROCEED)
}

/** Logs in on an open stream by SCRAM; gives the name and the text of what came of it. */
const logsIn = async (actor: Actor, options: Omit<ScramClientOptions, 'username' | 'password'>): Promise<string> => {
  const scram = new ScramClient({ username: 'juliet', password: 'secret', ...options })
  await actor.sends(auth(options.mechanism, scram.first()))
  const challenge = await actor.next()
  if (challenge.name !== 'challenge') return outcomeOf(challenge)
  const final = await scram.answer(Buffer.from(challenge.text(), 'base64'))
  await actor.sends(`<response xmlns='${NS_SASL}'>${final.toString('base64')}</response>`)
  const outcome = await actor.next()
  if (outcome.name === 'success') expect(scram.verifies(Buffer.from(outcome.text(), 'base64'))).toBe(true)
  return outcomeOf(outcome)
}

const outcomeOf = (element: Element): string => {
  if (element.name === 'success') return 'success'
  return element.children.map((child) => (typeof child === 'string' ? child : child.text() || child.name)).join(': ')
}

const bindingData = ({ socket }: SecureClient, type: string): Buffer =>
  type === 'tls-exporter'
    ? socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
    : createHash('sha256')
        .update(socket.getPeerX509Certificate()?.raw ?? Buffer.alloc(0))
        .digest()

describe.each([
  { version: 'TLSv1.2', bindings: ['tls-server-end-point'] },
  { version: 'TLSv1.3', bindings: ['tls-exporter', 'tls-server-end-point'] },
] as const)('$version', ({ version, bindings }) => {
  test('RFC 6120 §5: STARTTLS is required, then a new stream offers to log in', async () => {
    const stage = await secureStage('starttls')
    const client = await stage.visit()
    const before = await client.actor.opensStream()
    expect(before.getChild('starttls', NS)?.getChild('required')).toBeDefined()
    expect([mechanismsOf(before), bindingsOf(before)]).toEqual([[], undefined])
    await client.actor.sends(STARTTLS)
    await client.actor.receives(PROCEED)
    const { actor } = await stage.secures(version, client)
    const after = await actor.opensStream()
    expect(after.getChild('starttls', NS)).toBeUndefined()
    expect([mechanismsOf(after), bindingsOf(after)]).toEqual([[...all, 'PLAIN'], bindings])
    await actor.sends(plain)
    await actor.receives(`<success xmlns='${NS_SASL}'/>`)
    await actor.opensStream()
    await actor.binds('balcony')
    await actor.sends(xml`<iq type="get" id="p1" to="verona.example"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await actor.receives(xml`<iq type="result" id="p1" from="verona.example" to="${actor.jid}"/>`)
  })

  test('XEP-0368: under direct TLS the first stream offers to log in', async () => {
    const stage = await secureStage('direct')
    const { actor } = await stage.secures(version)
    const features = await actor.opensStream()
    expect(features.getChild('starttls', NS)).toBeUndefined()
    expect(mechanismsOf(features)).toEqual([...all, 'PLAIN'])
    await actor.sends(plain)
    await actor.receives(`<success xmlns='${NS_SASL}'/>`)
  })

  test.each(unbound)(
    'RFC 5802 §6: %s, bound to the channel and not, with what was advertised proved (XEP-0474)',
    async (mechanism) => {
      const stage = await secureStage('direct')
      for (const type of [undefined, ...bindings]) {
        const client = await stage.secures(version)
        const features = await client.actor.opensStream()
        const advertised = { mechanisms: mechanismsOf(features), bindings: bindingsOf(features) ?? [] }
        const binding = type === undefined ? {} : { binding: { type, data: bindingData(client, type) } }
        const name = type === undefined ? mechanism : `${mechanism}-PLUS`
        expect(await logsIn(client.actor, { mechanism: name, advertised, ...binding }), String(type)).toBe('success')
        expect((await client.actor.opensStream()).getChild('bind', 'urn:ietf:params:xml:ns:xmpp-bind')).toBeDefined()
      }
    },
  )

  test('RFC 5802 §6: a binding to another channel, and one that was taken away', async () => {
    const stage = await secureStage('direct')
    for (const type of bindings) {
      const { actor } = await stage.secures(version)
      await actor.opensStream()
      const binding = { type, data: Buffer.alloc(32, 1) }
      expect(await logsIn(actor, { mechanism: 'SCRAM-SHA-256-PLUS', binding })).toBe(
        'not-authorized: channel-bindings-dont-match',
      )
    }
    const { actor } = await stage.secures(version)
    await actor.opensStream()
    expect(await logsIn(actor, { mechanism: 'SCRAM-SHA-256', flag: 'y' })).toBe(
      'not-authorized: server-does-support-channel-binding',
    )
    const binding = { type: 'tls-unique', data: Buffer.alloc(12) }
    expect(await logsIn(actor, { mechanism: 'SCRAM-SHA-256-PLUS', binding })).toBe(
      'malformed-request: unsupported-channel-binding-type',
    )
  })

  test('XEP-0440 §3, XEP-0474: no bindings are advertised, nor hashed, where no mechanism uses one', async () => {
    const login = { allowPlainWithoutTls: false, mechanisms: ['SCRAM-SHA-256', 'PLAIN'] }
    const stage = await secureStage('direct', { config: { login } })
    const { actor } = await stage.secures(version)
    const features = await actor.opensStream()
    expect([mechanismsOf(features), bindingsOf(features)]).toEqual([login.mechanisms, undefined])
    const advertised = { mechanisms: login.mechanisms, bindings: [] }
    expect(await logsIn(actor, { mechanism: 'SCRAM-SHA-256', flag: 'y', advertised })).toBe('success')
  })
})

test('RFC 6120 §5.4.2.2: STARTTLS a second time fails, and ends the stream', async () => {
  const stage = await secureStage('starttls')
  const client = await stage.visit()
  await asks(client)
  const { actor } = await stage.secures('TLSv1.3', client)
  await actor.opensStream()
  await actor.sends(STARTTLS)
  await actor.receives(FAILURE)
  await failsWith(actor, 'policy-violation')
})

const lenient = { config: { login: { allowPlainWithoutTls: true } } }

test('RFC 6120 §5.3.1: STARTTLS is not required where clients may log in without it, and not possible after that', async () => {
  const stage = await secureStage('starttls', lenient)
  const { actor } = await stage.visit()
  const features = await actor.opensStream()
  expect(features.getChild('starttls', NS)).toBeDefined()
  expect(features.getChild('starttls', NS)?.getChild('required')).toBeUndefined()
  await actor.sends(plain)
  await actor.receives(`<success xmlns='${NS_SASL}'/>`)
  expect((await actor.opensStream()).getChild('starttls', NS)).toBeUndefined()
  await actor.sends(STARTTLS)
  await actor.receives(FAILURE)
  await failsWith(actor, 'policy-violation')
})

test('RFC 6120 §5.4.3.3: what was said in the clear behind <starttls/> is forgotten, also behind a login that is being checked', async () => {
  const stage = await secureStage('starttls', lenient)
  for (const first of ['', auth('PLAIN', Buffer.from('\0juliet\0wrong'))]) {
    const client = await stage.visit()
    await client.actor.opensStream()
    await client.actor.sends(`${first}${STARTTLS}<injected xmlns='urn:injected'/>${plain}`)
    if (first !== '') expect((await client.actor.next()).name).toBe('failure')
    await client.actor.receives(PROCEED)
    const { actor } = await stage.secures('TLSv1.3', client)
    expect(mechanismsOf(await actor.opensStream())).toEqual([...all, 'PLAIN'])
    await actor.sends(auth('NONE', Buffer.alloc(0)))
    await actor.receives(`<failure xmlns='${NS_SASL}'><invalid-mechanism/></failure>`)
  }
})

test('RFC 6120 §5.4.3.2: a handshake that fails ends the connection without a word, and is no fault of the server', async () => {
  const fault = vi.spyOn(nullLog, 'error')
  onTestFinished(() => fault.mockRestore())
  const stage = await secureStage('starttls')
  const client = await stage.visit()
  await asks(client)
  client.socket.write('this is no ClientHello, whatever it is')
  await expect(client.actor.next()).rejects.toThrow('the connection ended')
  const gone = await stage.visit()
  await asks(gone)
  gone.socket.resetAndDestroy()
  const { actor } = await stage.visit()
  await actor.opensStream()
  expect(fault).not.toHaveBeenCalled()
})

conversation(
  'RFC 6120 §5.3.1, RFC 7395 §3.9: STARTTLS is not offered where it cannot be done, and fails',
  { carriers: ['memory', 'websocket'] },
  async ({ visit }) => {
    const actor = await visit()
    const features = await actor.opensStream()
    expect(features.getChild('starttls', NS)).toBeUndefined()
    await actor.sends(STARTTLS)
    await actor.receives(FAILURE)
    await failsWith(actor, 'policy-violation')
  },
)
