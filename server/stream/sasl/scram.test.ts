import bcrypt from 'bcrypt'
import fc from 'fast-check'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { type Accounts, accountJid } from '#server/core/accounts.ts'
import { deriveKeys } from '#server/core/credentials.ts'
import type { TlsFacts } from '#server/stream/connection.ts'
import { memoryAccounts } from '#server/testing/memory-accounts.ts'
import { runScram, ScramClient, type ScramClientOptions } from '#server/testing/scram-client.ts'
import type { ScramHash } from '#storage/shapes.ts'
import { findMechanism, mechanisms, type SaslEnvironment, type SaslExchange } from './mechanism.ts'

const tls: TlsFacts = {
  protocol: 'TLSv1.3',
  exporter: () => Buffer.alloc(32, 1),
  serverEndPoint: () => Buffer.alloc(48, 2),
}
const ALL = mechanisms.map(({ name }) => name)
const BINDINGS = ['tls-exporter', 'tls-server-end-point']
const HASHES: readonly ScramHash[] = ['SHA-1', 'SHA-256', 'SHA-512']

let accounts: Accounts
const jidOf = (name: string) => {
  const jid = accountJid(name, 'verona.example')
  if (jid === undefined) throw new Error(`no account can be called ${name}`)
  return jid
}
const juliet = jidOf('juliet')

const start = (mechanism: string, extra: Partial<SaslEnvironment> = {}): SaslExchange => {
  const found = findMechanism(mechanism)
  if (found === undefined) throw new Error(`no mechanism ${mechanism}`)
  return found.start({ domain: 'verona.example', accounts, tls, offered: ALL, bindings: BINDINGS, ...extra })
}
const run = (options: Partial<ScramClientOptions>, extra: Partial<SaslEnvironment> = {}) => {
  const client = { mechanism: 'SCRAM-SHA-256', username: 'juliet', password: 'wherefore', ...options }
  return runScram(start(client.mechanism, extra), client)
}
const send = (mechanism: string, message: string, extra?: Partial<SaslEnvironment>) =>
  start(mechanism, extra).step(Buffer.from(message))
const refused = (condition: string, text?: string) =>
  text === undefined ? { kind: 'failure', condition } : { kind: 'failure', condition, text }
const exporter = { type: 'tls-exporter', data: Buffer.alloc(32, 1) }

beforeEach(async () => {
  ;({ accounts } = await memoryAccounts())
  await accounts.create(juliet, 'wherefore')
})

describe('the examples of the RFCs', () => {
  const examples = [
    {
      title: 'RFC 5802 §5',
      hash: 'SHA-1',
      salt: 'QSXCR+Q6sek8bf92',
      clientFirst: 'n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL',
      newNonce: '3rfcNHYJY1ZVvWVs7j',
      serverFirst: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
      clientFinal: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
      serverFinal: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
    },
    {
      title: 'RFC 7677 §3',
      hash: 'SHA-256',
      salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
      clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
      newNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
      serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
      clientFinal: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
      serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    },
  ] as const

  test.each(examples)('$title: the exchange goes as printed', async (example) => {
    const { accounts: own, storage } = await memoryAccounts()
    const keys = await deriveKeys(example.hash, 'pencil', Buffer.from(example.salt, 'base64'), 4096)
    const jid = jidOf('user')
    await storage.create({ jid, createdAtMs: 0, isDisabled: false, credentials: { scram: { [example.hash]: keys } } })
    // Nothing was advertised in the examples, so there is nothing to protect by XEP-0474.
    const environment = { accounts: own, offered: [], bindings: [], newNonce: () => example.newNonce }
    const exchange = start(`SCRAM-${example.hash}`, environment)
    const challenge = await exchange.step(Buffer.from(example.clientFirst))
    expect(challenge).toEqual({ kind: 'challenge', data: Buffer.from(example.serverFirst) })
    const outcome = await exchange.step(Buffer.from(example.clientFinal))
    expect(outcome).toEqual({ kind: 'success', account: jid, data: Buffer.from(example.serverFinal) })
    const client = {
      mechanism: `SCRAM-${example.hash}`,
      username: 'user',
      password: 'pencil',
      nonce: example.clientFirst.slice(12),
    }
    expect(await runScram(start(`SCRAM-${example.hash}`, environment), client)).toMatchObject({ isServerProved: true })
  })
})

describe('success', () => {
  test.each(HASHES)('RFC 5802 §3: %s proves both sides, bound to the channel or not', async (hash) => {
    const success = { outcome: { kind: 'success', account: juliet }, isServerProved: true }
    expect(await run({ mechanism: `SCRAM-${hash}` })).toMatchObject(success)
    for (const binding of [exporter, { type: 'tls-server-end-point', data: Buffer.alloc(48, 2) }]) {
      expect(await run({ mechanism: `SCRAM-${hash}-PLUS`, binding })).toMatchObject(success)
    }
  })

  test.each(HASHES)('XEP-0474 §6.2: with %s the client finds the hash of what it saw advertised', async (hash) => {
    const advertised = { mechanisms: ALL.toReversed(), bindings: BINDINGS.toReversed() }
    expect(await run({ mechanism: `SCRAM-${hash}`, advertised })).toMatchObject({ isServerProved: true })
    expect(await run({ mechanism: `SCRAM-${hash}-PLUS`, binding: exporter, advertised })).toMatchObject({ isServerProved: true })
    const stripped = { mechanisms: ['SCRAM-SHA-1', 'PLAIN'], bindings: [] }
    await expect(run({ mechanism: `SCRAM-${hash}`, advertised: stripped })).rejects.toThrow('changed on the way')
  })

  test('RFC 5802 §5.1: names are prepared, and commas and equals signs in them come escaped', async () => {
    expect(await run({ username: 'JULIET' })).toMatchObject({ isServerProved: true })
    const odd = jidOf('a=b,c')
    await accounts.create(odd, 'rose')
    expect(await run({ username: 'a=b,c', password: 'rose' })).toMatchObject({ outcome: { account: odd }, isServerProved: true })
    expect(await run({ username: 'a=b,c', password: 'rose', authzid: 'a=b,c@verona.example' })).toMatchObject({
      isServerProved: true,
    })
  })

  test('RFC 5802 §5.1: optional extensions are ignored, yet signed', async () => {
    expect(await run({ extensions: 'x=19C6532F,y=ü=' })).toMatchObject({ isServerProved: true })
  })

  test('RFC 5802 §6: a client that could bind may say so where no -PLUS was on offer', async () => {
    expect(await run({ flag: 'y' }, { tls: undefined, offered: ['SCRAM-SHA-256'], bindings: [] })).toMatchObject({
      isServerProved: true,
    })
  })

  test('two exchanges never have the same nonce', async () => {
    const [one, other] = [await run({ nonce: 'same' }), await run({ nonce: 'same' })]
    expect(one.challenge).not.toBe(other.challenge)
    expect(one.challenge).toMatch(/^r=same[A-Za-z0-9+/]{24},s=[A-Za-z0-9+/]{22}==,i=4096,h=[A-Za-z0-9+/]{43}=,t=0304$/)
  })
})

describe('a wrong password and an unknown account', () => {
  test.each(HASHES)('with %s have challenges of one shape and the same answer', async (hash) => {
    const shape = (challenge: string | undefined) => challenge?.replace(/(?<=[rs]=)[^,]+/g, ({ length }) => String(length))
    const mechanism = `SCRAM-${hash}`
    const wrong = await run({ mechanism, password: 'rose', nonce: 'n' })
    const unknown = await run({ mechanism, username: 'nobody', nonce: 'n' })
    expect(shape(unknown.challenge)).toBe(shape(wrong.challenge))
    expect(wrong.outcome).toEqual(refused('not-authorized'))
    expect(unknown.outcome).toEqual(wrong.outcome)
    const again = await run({ mechanism, username: 'nobody', nonce: 'n' })
    expect(/s=[^,]+/.exec(again.challenge ?? '')?.[0]).toBe(/s=[^,]+/.exec(unknown.challenge ?? '')?.[0])
  })

  test('an account with nothing but a bcrypt hash is like one that does not exist, until PLAIN has upgraded it', async () => {
    const romeo = jidOf('romeo')
    const before = await run({ username: 'romeo', password: 'rose', nonce: 'n' })
    await accounts.importBcrypt(romeo, await bcrypt.hash('rose', 4))
    const imported = await run({ username: 'romeo', password: 'rose', nonce: 'n' })
    expect(imported.outcome).toEqual(refused('not-authorized'))
    expect(imported.challenge?.replace(/^r=[^,]+/, '')).toBe(before.challenge?.replace(/^r=[^,]+/, ''))
    await accounts.verifyPassword(romeo, 'rose')
    expect(await run({ username: 'romeo', password: 'rose' })).toMatchObject({ isServerProved: true })
  })

  test('RFC 6120 §6.5.2: a disabled account is told so after the right proof only', async () => {
    await accounts.setDisabled(juliet, true)
    expect((await run({})).outcome).toEqual(refused('account-disabled'))
    expect((await run({ password: 'rose' })).outcome).toEqual(refused('not-authorized'))
  })

  test('a password that changes between challenge and proof is no longer right', async () => {
    const exchange = start('SCRAM-SHA-256')
    const client = new ScramClient({ mechanism: 'SCRAM-SHA-256', username: 'juliet', password: 'wherefore' })
    const challenge = await exchange.step(client.first())
    if (challenge.kind !== 'challenge') throw new Error(`no challenge but ${challenge.kind}`)
    const final = await client.answer(challenge.data)
    await accounts.setPassword(juliet, 'wherefore')
    expect(await exchange.step(final)).toEqual(refused('not-authorized'))
  })
})

describe('refusals', () => {
  test('RFC 6120 §6.5.7: nobody may act for another, nor name a resource', async () => {
    for (const authzid of ['romeo@verona.example', 'juliet@verona.example/balcony', 'juliet']) {
      expect((await run({ authzid })).outcome).toEqual(refused('invalid-authzid'))
    }
    expect(await run({ authzid: 'juliet@verona.example' })).toMatchObject({ isServerProved: true })
  })

  test('RFC 5802 §6: `y` although -PLUS was on offer means that somebody took it away', async () => {
    expect((await run({ flag: 'y' })).outcome).toEqual(refused('not-authorized', 'server-does-support-channel-binding'))
  })

  test('RFC 5802 §6: binding and mechanism must agree', async () => {
    expect((await run({ binding: exporter })).outcome).toEqual(refused('malformed-request', 'channel-binding-not-supported'))
    for (const flag of ['n', 'y'] as const) {
      expect((await run({ mechanism: 'SCRAM-SHA-256-PLUS', flag })).outcome).toEqual(refused('malformed-request', 'other-error'))
    }
  })

  test('RFC 5802 §6: a type that the connection does not have is refused', async () => {
    const mechanism = 'SCRAM-SHA-1-PLUS'
    const unsupported = refused('malformed-request', 'unsupported-channel-binding-type')
    expect((await run({ mechanism, binding: { type: 'tls-unique', data: Buffer.alloc(12) } })).outcome).toEqual(unsupported)
    expect((await run({ mechanism, binding: exporter }, { tls: undefined })).outcome).toEqual(unsupported)
    expect((await run({ mechanism, binding: exporter }, { tls: { ...tls, protocol: 'TLSv1.2' } })).outcome).toEqual(unsupported)
  })

  test('RFC 5802 §6: bound to another channel, or with another header than at first, is a man in the middle', async () => {
    const mismatch = refused('not-authorized', 'channel-bindings-dont-match')
    const binding = { type: 'tls-exporter', data: Buffer.alloc(32, 9) }
    expect((await run({ mechanism: 'SCRAM-SHA-256-PLUS', binding })).outcome).toEqual(mismatch)
    const exchange = start('SCRAM-SHA-256', { offered: [], newNonce: () => 'server' })
    await exchange.step(Buffer.from('n,,n=juliet,r=client'))
    expect(await exchange.step(Buffer.from(`c=${Buffer.from('y,,').toString('base64')},r=clientserver,p=AAAA`))).toEqual(mismatch)
  })

  test('RFC 5802 §5.1: the nonce must come back whole', async () => {
    for (const nonce of ['client', 'clientserver2', 'clientServer', 'x']) {
      const exchange = start('SCRAM-SHA-256', { newNonce: () => 'server' })
      await exchange.step(Buffer.from('n,,n=juliet,r=client'))
      expect(await exchange.step(Buffer.from(`c=biws,r=${nonce},p=AAAA`))).toEqual(refused('not-authorized', 'other-error'))
    }
  })

  test('RFC 5802 §5.1: a mandatory extension makes the exchange fail, wherever it stands', async () => {
    const failed = refused('malformed-request', 'extensions-not-supported')
    expect(await send('SCRAM-SHA-1', 'n,,m=x,n=juliet,r=abc')).toEqual(failed)
    expect(await send('SCRAM-SHA-1', 'n,,n=juliet,r=abc,m=x')).toEqual(failed)
    const exchange = start('SCRAM-SHA-1', { newNonce: () => 'server' })
    await exchange.step(Buffer.from('n,,n=juliet,r=client'))
    expect(await exchange.step(Buffer.from('c=biws,r=clientserver,m=x,p=AAAA'))).toEqual(failed)
  })

  test('RFC 5802 §5.1: a name with a stray equals sign is refused', async () => {
    for (const name of ['a=', 'a=b', '=2c', '=3d', '=2']) {
      expect(await send('SCRAM-SHA-1', `n,,n=${name},r=abc`)).toEqual(refused('malformed-request', 'invalid-username-encoding'))
      expect(await send('SCRAM-SHA-1', `n,a=${name},n=juliet,r=abc`)).toEqual(
        refused('malformed-request', 'invalid-username-encoding'),
      )
    }
  })

  test('RFC 5802 §7: a first message that breaks the grammar is malformed', async () => {
    const broken = [
      '',
      'n',
      'n,',
      'n,,',
      'n=juliet,r=abc',
      'N,,n=juliet,r=abc',
      'z,,n=juliet,r=abc',
      'p,,n=juliet,r=abc',
      'p=,,n=juliet,r=abc',
      'n,a=,n=juliet,r=abc',
      'n,b=x,n=juliet,r=abc',
      'n,,n=,r=abc',
      'n,,r=abc,n=juliet',
      'n,,n=juliet',
      'n,,n=juliet,r=',
      'n,,n=juliet,r=a b',
      'n,,n=juliet,r=é',
      'n,,n=juliet,r=abc,',
      'n,,n=juliet,r=abc,xx',
      'n,,n=juliet,r=abc,x=',
      'n,,n=juliet,r=abc,1=2',
      'n,,n=juliet,r=abc,n=romeo',
      'n,,n=juliet,r=abc,r=def',
      'n,,n=jul\0iet,r=abc',
      'n,,n=juliet,r=abc\n',
      ' n,,n=juliet,r=abc',
      `n,,n=juliet,r=${'a'.repeat(9_000)}`,
    ] // prettier-ignore
    for (const message of broken) expect(await send('SCRAM-SHA-256', message)).toMatchObject(refused('malformed-request'))
    expect(await start('SCRAM-SHA-256').step(Buffer.from('n,,n=jul\xe9,r=abc', 'latin1'))).toEqual(
      refused('malformed-request', 'invalid-encoding'),
    )
  })

  test('RFC 5802 §7: a final message that breaks the grammar is malformed', async () => {
    const broken = [
      '',
      'c=biws',
      'c=biws,r=clientserver',
      'r=clientserver,c=biws,p=AAAA',
      'c=,r=clientserver,p=AAAA',
      'c=biws,r=clientserver,p=',
      'c=biw,r=clientserver,p=AAAA',
      'c=biws,r=clientserver,p=AAA',
      'c=biws,r=clientserver,p=A===',
      'c=biws,r=clientserver,p=AA-_',
      'c=biws,r=clientserver,p=AB==',
      'c=biws,r=clientserver,p=AAB=',
      'c=biws,r=clientserver,p=AAAA,x=1',
      'c=biws,r=clientserver,p=AAAA,p=AAAA',
      'c=biws,r=clientserver,p=AAAA\n',
      'c=biws,x=1,r=clientserver,p=AAAA',
    ] // prettier-ignore
    for (const message of broken) {
      const exchange = start('SCRAM-SHA-256', { newNonce: () => 'server' })
      await exchange.step(Buffer.from('n,,n=juliet,r=client'))
      expect(await exchange.step(Buffer.from(message))).toMatchObject(refused('malformed-request'))
      expect(await exchange.step(Buffer.from(message))).toEqual(refused('malformed-request'))
    }
  })

  test('a proof of the wrong length is a wrong proof', async () => {
    for (const proof of ['AAAA', Buffer.alloc(31).toString('base64'), Buffer.alloc(33).toString('base64')]) {
      const exchange = start('SCRAM-SHA-256', { newNonce: () => 'server' })
      await exchange.step(Buffer.from('n,,n=juliet,r=client'))
      expect(await exchange.step(Buffer.from(`c=biws,r=clientserver,p=${proof}`))).toEqual(refused('not-authorized'))
    }
  })

  test('an exchange is over after its last outcome, and takes no second message while it looks up the account', async () => {
    const exchange = start('SCRAM-SHA-256')
    expect(exchange.claimed).toBeUndefined()
    const first = exchange.step(Buffer.from('n,,n=stranger,r=client'))
    expect(exchange.claimed).toBe('stranger@verona.example')
    expect(exchange.step(Buffer.from('n,,n=juliet,r=client'))).toEqual(refused('malformed-request'))
    expect(await first).toMatchObject({ kind: 'challenge' })
  })

  test('an account that is throttled is refused before the challenge, and before the proof is looked at', async () => {
    const admits = vi.fn(() => false)
    expect((await run({}, { admits })).outcome).toEqual(refused('temporary-auth-failure'))
    expect(admits).toHaveBeenCalledExactlyOnceWith(juliet)
    let asked = 0
    expect((await run({}, { admits: () => ++asked === 1 })).outcome).toEqual(refused('temporary-auth-failure'))
  })
})

describe('hostile clients', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'n',
      'y',
      'p=tls-exporter',
      ',',
      ',,',
      'n=juliet',
      'r=client',
      'r=clientserver',
      'a=juliet@verona.example',
      '=2C',
      '=3D',
      '=',
      'm=1',
      'c=biws',
      'p=AAAA',
      'x=1',
      '\0',
      'é',
      ' ',
    ), // prettier-ignore
    fc.string({ unit: 'binary', maxLength: 5 }),
  )
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    fc.array(piece, { maxLength: 12 }).map((pieces) => Buffer.from(pieces.join(''))),
    fc.array(piece, { maxLength: 8 }).map((pieces) => Buffer.from(pieces.join(','))),
  )
  const valid = fc.constant(Buffer.from('n,,n=juliet,r=client'))

  test('whatever is sent in whatever order, the outcome is a challenge or a failure, and nothing is thrown', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...ALL.filter((name) => name.startsWith('SCRAM'))),
        fc.array(fc.oneof(message, valid), { minLength: 1, maxLength: 4 }),
        async (mechanism, messages) => {
          const exchange = start(mechanism, { newNonce: () => 'server' })
          for (const [at, bytes] of messages.entries()) {
            const outcome = await exchange.step(bytes)
            expect(outcome.kind).not.toBe('success')
            if (at > 0) expect(outcome.kind).toBe('failure')
          }
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('a right final message with any bit turned proves nothing', async () => {
    const client = new ScramClient({ mechanism: 'SCRAM-SHA-256', username: 'juliet', password: 'wherefore', nonce: 'client' })
    const begin = async () => {
      const exchange = start('SCRAM-SHA-256', { newNonce: () => 'server' })
      const challenge = await exchange.step(client.first())
      if (challenge.kind !== 'challenge') throw new Error(`no challenge but ${challenge.kind}`)
      return { exchange, challenge: challenge.data }
    }
    const final = await client.answer((await begin()).challenge)
    expect(await (await begin()).exchange.step(final)).toMatchObject({ kind: 'success' })
    for (let bit = 0; bit < final.length * 8; bit += 1) {
      const turned = Buffer.from(final)
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const { exchange } = await begin()
      expect(await exchange.step(turned)).toMatchObject({ kind: 'failure' })
    }
  })
})
