import { expect } from 'vitest'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import {
  accountOf,
  authenticate,
  byPassword,
  logsInQuickly,
  NS_SASL2,
  PHONE,
  wantsBinding,
  wantsToken,
} from '#server/testing/quick-client.ts'
import { ScramClient } from '#server/testing/scram-client.ts'
import { failsWith } from '#server/testing/stream-end.ts'

const NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
const JULIET = 'juliet@verona.example'
const memory = { carriers: ['memory'] } as const

const failure = (condition: string, text = ''): string =>
  `<failure xmlns='${NS_SASL2}'><${condition} xmlns='${NS_SASL}'/>${text === '' ? '' : `<text>${text}</text>`}</failure>`

conversation('XEP-0388 §2.1: what is offered, beside RFC 6120', {}, async ({ visit }) => {
  const actor = await visit()
  const features = await actor.opensStream()
  const offer = features.getChild('authentication', NS_SASL2)
  const names = (parent: typeof offer) => parent?.getChildren('mechanism').map((each) => each.text())
  expect(names(offer)).toEqual(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'])
  expect(names(features.getChild('mechanisms', NS_SASL))).toEqual(names(offer))
  const inline = offer?.getChild('inline')?.getChildren()
  expect(inline?.map(({ ns, name }) => `${name} ${ns}`)).toEqual([
    'bind urn:xmpp:bind:0',
    'sm urn:xmpp:sm:3',
    'fast urn:xmpp:fast:0',
  ])
})

conversation(
  'XEP-0388 §3: nothing is offered or done without TLS',
  { config: { login: { allowPlainWithoutTls: false } }, carriers: ['memory', 'tcp'] },
  async ({ visit, createAccount }) => {
    await createAccount(JULIET)
    const actor = await visit()
    const features = await actor.opensStream()
    expect(features.getChild('authentication', NS_SASL2)).toBeUndefined()
    await actor.sends(byPassword('juliet', wantsBinding()))
    await actor.receives(failure('encryption-required'))
    await actor.receivesNothing()
  },
)

conversation('XEP-0388 §2.6.1: success, and features without a new stream', {}, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(byPassword('juliet'))
  await actor.receives(xml`<success xmlns='${NS_SASL2}'><authorization-identifier>${JULIET}</authorization-identifier></success>`)
  const features = await actor.next()
  expect(features.getChildren().map(({ name }) => name)).toEqual(expect.arrayContaining(['bind', 'session', 'sm']))
  expect(features.getChild('authentication', NS_SASL2)).toBeUndefined()
  await actor.binds('balcony')
  await actor.sends(xml`<iq type='get' id='p' to='verona.example'><ping xmlns='urn:xmpp:ping'/></iq>`)
  await actor.receives(xml`<iq type='result' id='p' from='verona.example' to='${JULIET}/balcony'/>`)
})

for (const isInitial of [true, false])
  conversation(
    `XEP-0388 §2.5: SCRAM ${isInitial ? 'with' : 'without'} an initial response; the server proves itself in additional data`,
    {},
    async ({ visit, createAccount }) => {
      await createAccount(JULIET)
      const actor = await visit()
      const features = await actor.opensStream(undefined, JULIET)
      const mechanisms =
        features
          .getChild('mechanisms', NS_SASL)
          ?.getChildren()
          .map((each) => each.text()) ?? []
      const scram = new ScramClient({
        mechanism: 'SCRAM-SHA-256',
        username: 'juliet',
        password: 'secret',
        // XEP-0474 §6: the list of the profile that is used.
        advertised: { mechanisms, bindings: [] },
      })
      await actor.sends(authenticate('SCRAM-SHA-256', isInitial ? scram.first() : undefined, wantsBinding()))
      if (!isInitial) {
        await actor.receives(`<challenge xmlns='${NS_SASL2}'/>`)
        await actor.sends(`<response xmlns='${NS_SASL2}'>${scram.first().toString('base64')}</response>`)
      }
      const challenge = await actor.next()
      const answer = await scram.answer(Buffer.from(challenge.text(), 'base64'))
      await actor.sends(`<response xmlns='${NS_SASL2}'>${answer.toString('base64')}</response>`)
      const success = await actor.next()
      expect(scram.verifies(Buffer.from(success.getChildText('additional-data') ?? '', 'base64'))).toBe(true)
    },
  )

conversation(
  'XEP-0388 §2.6.2: after a failure nothing inline is done, and the client may try again',
  {},
  async ({ visit, createAccount, server }) => {
    await createAccount(JULIET)
    const actor = await visit()
    await actor.opensStream()
    const wants = `${wantsBinding()}${wantsToken()}`
    await actor.sends(byPassword('juliet', wants, PHONE, 'wrong'))
    await actor.receives(failure('not-authorized'))
    await actor.receivesNothing()
    expect(server.sessions.count).toBe(0)
    expect(await server.devices.list(accountOf(JULIET))).toEqual([])
    await actor.sends(byPassword('juliet', wantsBinding(), PHONE))
    expect((await actor.next()).name).toBe('success')
  },
)

for (const [what, said, condition] of [
  ['a mechanism that is not offered', authenticate('CRAM-MD5', 'x'), 'invalid-mechanism'],
  ['a mechanism for tokens by who has none', authenticate('HT-SHA-256-NONE', `juliet\0${'x'.repeat(32)}`), 'invalid-mechanism'],
  [
    'no base64',
    `<authenticate xmlns='${NS_SASL2}' mechanism='PLAIN'><initial-response>?</initial-response></authenticate>`,
    'incorrect-encoding',
  ],
  ['a first message that is none', authenticate('PLAIN', 'juliet'), 'malformed-request'],
  ['a response to nothing', `<response xmlns='${NS_SASL2}'>AAAA</response>`, 'malformed-request'],
  ['an abort', `<abort xmlns='${NS_SASL2}'/>`, 'aborted'],
  ['a task of nothing', `<next xmlns='${NS_SASL2}' task='UPGR-SCRAM-SHA-256'/>`, 'malformed-request'],
  ['data of no task', `<task-data xmlns='${NS_SASL2}'/>`, 'malformed-request'],
  ['an account that does not exist', byPassword('nobody'), 'not-authorized'],
  ['an identity that is another', authenticate('PLAIN', 'romeo@verona.example\0juliet\0secret'), 'invalid-authzid'],
] as const)
  conversation(`XEP-0388 §2.6.2: ${what} is ${condition}`, memory, async ({ visit, createAccount }) => {
    await createAccount(JULIET)
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(said)
    await actor.receives(failure(condition))
  })

conversation('XEP-0388 §2.3: the id of a user-agent is a UUID', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(byPassword('juliet', wantsBinding(), '../../etc'))
  await actor.receives(failure('malformed-request', 'the id of a user-agent is a UUID'))
})

conversation(
  'XEP-0388 §2.3, §4.4: who opened the stream as somebody else is refused, whatever the password',
  {},
  async ({ visit, createAccount }) => {
    await createAccount(JULIET)
    const actor = await visit()
    await actor.opensStream(undefined, 'romeo@verona.example')
    for (const authzid of ['', JULIET, 'romeo@verona.example']) {
      await actor.sends(authenticate('PLAIN', `${authzid}\0juliet\0secret`, wantsBinding()))
      await actor.receives(failure('invalid-authzid'))
    }
    const other = await visit()
    await other.opensStream(undefined, JULIET)
    await other.sends(authenticate('PLAIN', 'Juliet@Verona.Example\0juliet\0secret'))
    expect((await other.next()).name).toBe('success')
  },
)

conversation('XEP-0388 §2.1: a from of another domain is invalid', memory, async ({ visit }) => {
  const actor = await visit()
  await actor.sendsRaw(
    `<?xml version='1.0'?><stream:stream from='juliet@mantua.example' to='verona.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`,
  )
  await failsWith(actor, 'invalid-from')
})

for (const [what, said] of [
  ['a stanza', `<iq type='get' id='v'><query xmlns='jabber:iq:register'/></iq>`],
  ['RFC 6120', `<auth xmlns='${NS_SASL}' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>`],
  ['another login', byPassword('juliet')],
] as const)
  conversation(
    `XEP-0388 §2.4: ${what} in the middle of an exchange ends the stream`,
    memory,
    async ({ visit, createAccount }) => {
      await createAccount(JULIET)
      const actor = await visit()
      await actor.opensStream()
      await actor.sends(authenticate('SCRAM-SHA-1', 'n,,n=juliet,r=abc'))
      expect((await actor.next()).name).toBe('challenge')
      await actor.sends(said)
      await failsWith(actor, 'policy-violation')
    },
  )

conversation('RFC 6120 §6.4: an exchange goes on only in the profile it began with', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(
    `<auth xmlns='${NS_SASL}' mechanism='SCRAM-SHA-1'>${Buffer.from('n,,n=juliet,r=abc').toString('base64')}</auth>`,
  )
  expect((await actor.next()).name).toBe('challenge')
  await actor.sends(`<response xmlns='${NS_SASL2}'>AAAA</response>`)
  await actor.receives(failure('malformed-request'))
})

conversation('XEP-0388 §4.8: who is logged in does not log in again', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await logsInQuickly(actor, byPassword('juliet'))
  await actor.ignores()
  await actor.sends(byPassword('juliet'))
  await failsWith(actor, 'unsupported-stanza-type')
})

conversation('RFC 6120 §6.4.5: both profiles count the same failures', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  for (let attempt = 0; attempt < 5; attempt++) {
    if (attempt % 2 === 0) await actor.sends(byPassword('juliet', '', undefined, 'wrong'))
    else
      await actor.sends(`<auth xmlns='${NS_SASL}' mechanism='PLAIN'>${Buffer.from('\0juliet\0wrong').toString('base64')}</auth>`)
    expect((await actor.next()).name).toBe('failure')
  }
  await failsWith(actor, 'policy-violation')
})

conversation(
  'too many failures of one address: neither profile lets it in, whatever the password',
  { ...memory, config: { limits: { rates: true }, login: { allowPlainWithoutTls: true, failuresPerAddress: 2 } } },
  async ({ visit, createAccount }) => {
    await createAccount(JULIET)
    for (let attempt = 0; attempt < 2; attempt++) {
      const actor = await visit()
      await actor.opensStream()
      await actor.sends(byPassword('juliet', '', undefined, 'wrong'))
      await actor.receives(failure('not-authorized'))
    }
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(byPassword('juliet'))
    await actor.receives(failure('temporary-auth-failure', 'too many failed logins; try again later'))
  },
)

conversation(
  'a password that changes ends what has logged in and bound nothing yet',
  memory,
  async ({ visit, createAccount, server }) => {
    await createAccount(JULIET)
    const actor = await visit()
    await logsInQuickly(actor, byPassword('juliet'))
    await actor.ignores()
    await server.accounts.setPassword(accountOf(JULIET), 'other')
    await failsWith(actor, 'reset')
  },
)

conversation('whatever else a login says is passed over', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(byPassword('juliet', `<megabind xmlns='urn:example:megabind'/><bind xmlns='urn:example:bind'/>`))
  await actor.receives(`<success xmlns='${NS_SASL2}'><authorization-identifier>${any}</authorization-identifier></success>`)
})
