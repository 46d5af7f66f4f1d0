import { expect } from 'vitest'
import type { Overrides } from '#server/base/config.ts'
import { type Actor, conversation, xml } from '#server/testing/conversation.ts'
import { show } from '#server/testing/match.ts'
import { ScramClient } from '#server/testing/scram-client.ts'
import { failsWith } from '#server/testing/stream-end.ts'

const NS = 'urn:ietf:params:xml:ns:xmpp-sasl'
const memory = { carriers: ['memory'] } as const

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const auth = (mechanism: string, data = ''): string => `<auth xmlns='${NS}' mechanism='${mechanism}'>${data}</auth>`
const response = (data = ''): string => `<response xmlns='${NS}'>${data}</response>`
const plain = (username: string, password: string, authzid = ''): string =>
  auth('PLAIN', base64(`${authzid}\0${username}\0${password}`))
const failure = (condition: string, text = ''): string => `<failure xmlns='${NS}'><${condition}/>${text}</failure>`
const abort = `<abort xmlns='${NS}'/>`
const success = `<success xmlns='${NS}'/>`

/** The mechanisms that a stream offers. */
const offered = async (actor: Actor): Promise<readonly string[]> => {
  const features = await actor.opensStream()
  return (
    features
      .getChild('mechanisms', NS)
      ?.getChildren('mechanism')
      .map((each) => each.text()) ?? []
  )
}

conversation('RFC 6120 §6.3.3: what is offered without TLS, where the operator allows that', {}, async ({ visit }) => {
  const actor = await visit()
  expect(await offered(actor)).toEqual(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'])
})

const strict: Overrides = { login: { allowPlainWithoutTls: false } }

conversation(
  'RFC 6120 §6.5.4, §13.9.4: nothing is offered without TLS, and everything is encryption-required',
  // A WebSocket of the loopback does not leave the machine: the next conversation.
  { config: strict, carriers: ['memory', 'tcp'] },
  async ({ visit }) => {
    const actor = await visit()
    expect(await offered(actor)).toEqual([])
    for (const said of [plain('juliet', 'secret'), auth('SCRAM-SHA-1', base64('n,,n=juliet,r=abc')), auth('NONE')]) {
      await actor.sends(said)
      await actor.receives(failure('encryption-required'))
    }
  },
)

conversation(
  'RFC 7395 §4: behind a proxy that ends TLS on the same machine, clients log in as over TLS',
  { config: strict, carriers: ['websocket'] },
  async ({ visit }) => {
    const actor = await visit()
    expect(await offered(actor)).toEqual(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'])
  },
)

conversation('RFC 6120 §6.4.6: a success, then a new stream with other features', {}, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(plain('juliet', 'secret'))
  await actor.receives(success)
  const features = await actor.opensStream()
  expect(features.children.map((child) => (typeof child === 'string' ? child : child.name))).toEqual(
    expect.arrayContaining(['bind', 'session', 'sm']),
  )
  expect(features.getChild('mechanisms', NS)).toBeUndefined()
  await actor.sends(plain('juliet', 'secret'))
  await failsWith(actor, 'unsupported-stanza-type')
})

for (const mechanism of ['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
  conversation(`RFC 5802, RFC 7677: ${mechanism}, with and without an initial response`, {}, async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    for (const isInitial of [true, false]) {
      const actor = await visit()
      await actor.opensStream()
      const scram = new ScramClient({ mechanism, username: 'juliet', password: 'secret' })
      if (isInitial) await actor.sends(auth(mechanism, scram.first().toString('base64')))
      else {
        await actor.sends(auth(mechanism))
        await actor.receives(`<challenge xmlns='${NS}'/>`)
        await actor.sends(response(scram.first().toString('base64')))
      }
      const challenge = await actor.next()
      await actor.sends(response((await scram.answer(Buffer.from(challenge.text(), 'base64'))).toString('base64')))
      const outcome = await actor.next()
      expect(outcome.name).toBe('success')
      expect(scram.verifies(Buffer.from(outcome.text(), 'base64'))).toBe(true)
    }
  })

conversation('RFC 6120 §6.5.7: a mechanism that is not offered', {}, async ({ visit }) => {
  for (const mechanism of ['', 'scram-sha-1', 'DIGEST-MD5', 'EXTERNAL', 'SCRAM-SHA-1-PLUS']) {
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(auth(mechanism))
    await actor.receives(failure('invalid-mechanism'))
  }
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(`<auth xmlns='${NS}'/>`)
  await actor.receives(failure('invalid-mechanism'))
})

conversation('RFC 6120 §6.5.6: what is no base64', {}, async ({ visit }) => {
  for (const data of ['!', 'AAA', 'A===', '==', 'AA=A', 'AAAA AAAA', '\nAAAA', 'AAAA=', '_-AA', 'Ä']) {
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(auth('PLAIN', data))
    await actor.receives(failure('incorrect-encoding'))
  }
})

conversation('RFC 6120 §6.4.2: "=" is an initial response of no bytes', {}, async ({ visit }) => {
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(auth('PLAIN', '='))
  await actor.receives(failure('malformed-request'))
})

conversation('RFC 6120 §6.5.10: messages that the mechanism cannot read', memory, async ({ visit }) => {
  for (const message of ['', 'juliet', '\0juliet', '\0\0secret', '\0juliet\0', '\0juliet\0secret\0', 'x'.repeat(7_000)]) {
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(auth('PLAIN', message === '' ? '=' : base64(message)))
    await actor.receives(failure('malformed-request'))
  }
})

conversation('RFC 6120 §6.4.4: a client gives up, and tries again', {}, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(auth('SCRAM-SHA-1', base64('n,,n=juliet,r=abc')))
  expect((await actor.next()).name).toBe('challenge')
  await actor.sends(abort)
  await actor.receives(failure('aborted'))
  await actor.sends(response(base64('c=biws,r=abc,p=AAAA')))
  await actor.receives(failure('malformed-request'))
  await actor.sends(plain('juliet', 'secret'))
  await actor.receives(success)
})

conversation('RFC 6120 §6.4.5: five failures, then the stream ends', {}, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const actor = await visit()
  await actor.opensStream()
  for (let i = 0; i < 5; i++) {
    await actor.sends(plain('juliet', 'wrong'))
    await actor.receives(failure('not-authorized'))
  }
  await failsWith(actor, 'policy-violation')
})

conversation('RFC 6120 §6.4.5: a right password after four wrong ones', {}, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const actor = await visit()
  await actor.opensStream()
  for (let i = 0; i < 4; i++) {
    await actor.sends(plain('juliet', 'wrong'))
    await actor.receives(failure('not-authorized'))
  }
  await actor.sends(plain('juliet', 'secret'))
  await actor.receives(success)
})

conversation('RFC 6120 §6.3.8: an authorization identity must be the own one', {}, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const actor = await visit()
  await actor.opensStream()
  for (const authzid of ['romeo@verona.example', 'juliet', 'juliet@verona.example/balcony']) {
    await actor.sends(plain('juliet', 'secret', authzid))
    await actor.receives(failure('invalid-authzid'))
  }
  await actor.sends(plain('juliet', 'secret', 'Juliet@verona.example'))
  await actor.receives(success)
})

conversation(
  'RFC 6120 §6.3.8: without an authorization identity, who one is follows from the credentials, whoever opened the stream',
  {},
  async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    const actor = await visit()
    await actor.opensStream(undefined, 'romeo@verona.example')
    await actor.sends(plain('juliet', 'wrong'))
    await actor.receives(failure('not-authorized'))
    await actor.sends(plain('juliet', 'secret'))
    await actor.receives(success)
  },
)

/** Everything that a client is told from the first byte to the end of an attempt, but for what is random. */
const toldOf = async (actor: Actor, mechanism: 'PLAIN' | 'SCRAM-SHA-256', username: string): Promise<string> => {
  const told: string[] = [show(await actor.opensStream())]
  if (mechanism === 'PLAIN') await actor.sends(plain(username, 'wrong'))
  else {
    const scram = new ScramClient({ mechanism, username, password: 'wrong' })
    await actor.sends(auth(mechanism, scram.first().toString('base64')))
    const challenge = await actor.next()
    const text = Buffer.from(challenge.text(), 'base64').toString()
    told.push(text.replace(/r=[^,]+/, 'r=…').replace(/s=[^,]+/, 's=…'))
    await actor.sends(response((await scram.answer(Buffer.from(challenge.text(), 'base64'))).toString('base64')))
  }
  told.push(show(await actor.next()))
  return told.join('\n')
}

conversation(
  'RFC 6120 §6.5.11: an account that is not there is refused like a wrong password, byte for byte',
  { config: { login: { allowPlainWithoutTls: true, scramIterations: 4096 } } },
  async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    for (const mechanism of ['PLAIN', 'SCRAM-SHA-256'] as const) {
      const wrong = await toldOf(await visit(), mechanism, 'juliet')
      const unknown = await toldOf(await visit(), mechanism, 'nobody')
      expect(unknown).toBe(wrong)
      expect(wrong).toContain('not-authorized')
    }
  },
)

const throttled: Overrides = {
  login: {
    allowPlainWithoutTls: true,
    failuresPerAddress: 6,
    failuresPerAccount: 3,
    failureWindow: '60s',
    scramIterations: 4096,
  },
}
const later = failure('temporary-auth-failure', "<text xml:lang='en'>too many failed logins; try again later</text>")

conversation(
  'RFC 6120 §6.5.12: an address that failed too often has to wait',
  { ...memory, config: throttled, nodes: 1 },
  async ({ visit, createAccount, clock }) => {
    await createAccount('juliet@verona.example')
    const attempt = async (address: string, username: string, password: string, expected: string): Promise<void> => {
      const actor = await visit(address)
      await actor.opensStream()
      await actor.sends(plain(username, password))
      await actor.receives(expected)
    }
    for (let i = 0; i < 6; i++) await attempt('192.0.2.7', `nobody${i}`, 'wrong', failure('not-authorized'))
    await attempt('192.0.2.7', 'juliet', 'secret', later)
    await attempt('192.0.2.8', 'juliet', 'secret', success)
    clock.advance('10s')
    await attempt('192.0.2.7', 'juliet', 'secret', success)
  },
)

conversation(
  'RFC 6120 §6.5.12: an account that failed too often has to wait, except from where its owner was',
  { ...memory, config: throttled, nodes: 1 },
  async ({ visit, createAccount, clock }) => {
    await createAccount('juliet@verona.example')
    const attempt = async (address: string, username: string, password: string, expected: string): Promise<void> => {
      const actor = await visit(address)
      await actor.opensStream()
      await actor.sends(plain(username, password))
      await actor.receives(expected)
    }
    await attempt('192.0.2.1', 'juliet', 'secret', success)
    for (const name of ['juliet', 'nobody']) {
      for (let i = 0; i < 3; i++) await attempt(`198.51.100.${i}`, name, 'wrong', failure('not-authorized'))
      await attempt('203.0.113.1', name, 'secret', failure('temporary-auth-failure'))
    }
    await attempt('192.0.2.1', 'juliet', 'secret', success)
    clock.advance('21s')
    await attempt('203.0.113.1', 'juliet', 'secret', success)
  },
)

conversation(
  'RFC 6120 §6.4: what comes while a password is being checked waits for its turn',
  {},
  async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    const actor = await visit()
    await actor.opensStream()
    const said = [plain('juliet', 'wrong'), auth('NONE'), plain('juliet', 'wrong'), abort, plain('juliet', 'secret')]
    if (actor.framing === 'stream') await actor.sends(said.join(''))
    else for (const each of said) await actor.sends(each)
    await actor.receives(
      failure('not-authorized'),
      failure('invalid-mechanism'),
      failure('not-authorized'),
      failure('aborted'),
      success,
    )
  },
)

conversation(
  'RFC 6120 §6.4: as much as one read holds may wait, and no more is read meanwhile',
  memory,
  async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(plain('juliet', 'wrong') + xml`<iq type="get" id="x"/>`.repeat(500))
    await actor.receives(failure('not-authorized'))
    await failsWith(actor, 'not-authorized')
  },
)

conversation('XEP-0440 §3: no channel bindings without TLS', {}, async ({ visit }) => {
  const features = await (await visit()).opensStream()
  expect(features.getChild('sasl-channel-binding', 'urn:xmpp:sasl-cb:0')).toBeUndefined()
})
