import { expect } from 'vitest'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { show } from '#server/testing/match.ts'
import { ends, failsWith, streamHeader } from '#server/testing/stream-end.ts'
import { NS_CLIENT, NS_STREAM_ERRORS, NS_STREAMS } from '#stanzas/namespaces.ts'

const streams = { carriers: ['memory', 'tcp'] } as const
const memory = { carriers: ['memory'] } as const

const ping = (id: string, to = 'verona.example'): string =>
  xml`<iq type="get" id="${id}" to="${to}"><ping xmlns="urn:xmpp:ping"/></iq>`
const pong = (id: string, actor: Actor): string => xml`<iq type="result" id="${id}" from="verona.example" to="${actor.jid}"/>`

/** Says this on a fresh connection, in one piece and in single bytes; the stream fails each time. */
const isRefused = async ({ visit }: Scene, said: string, condition: string): Promise<void> => {
  for (const pieces of [[said], said.match(/[\s\S]/gu) ?? []]) {
    const actor = await visit()
    for (const piece of pieces) await actor.sendsRaw(piece)
    const error = (await actor.collects()).find(({ name }) => name === 'error')
    expect(error?.getChild(condition, NS_STREAM_ERRORS), `${said}: ${error && show(error)}`).toBeDefined()
    await expect(actor.next(), said).rejects.toThrow('the connection ended')
  }
}

// ---- the header

conversation(
  'RFC 6120 §4.7: the response names the domain, a fresh id, version and language, and nobody',
  streams,
  async ({ visit }) => {
    const ids = new Set<string>()
    for (let i = 0; i < 3; i++) {
      const actor = await visit()
      await actor.sends(streamHeader())
      expect(actor.header?.attrs).toEqual({ from: 'verona.example', id: expect.any(String), version: '1.0', 'xml:lang': 'en' })
      ids.add(actor.header?.attrs.id ?? '')
    }
    expect(ids.size).toBe(3)
  },
)

conversation('RFC 6120 §4.7.2: a client that says who it is finds its bare JID in the response', streams, async ({ visit }) => {
  const actor = await visit()
  await actor.sends(streamHeader("to='verona.example' from='Juliet@verona.example/balcony' version='1.0'"))
  expect(actor.header?.attrs.to).toBe('juliet@verona.example')
})

conversation('RFC 6120 §4.7.2: the domain is compared as prepared, whatever its case', streams, async ({ visit }) => {
  for (const to of ['verona.example', 'VERONA.Example', 'verona.example.']) {
    const actor = await visit()
    await actor.sends(streamHeader(`to='${to}' version='1.0'`))
    expect((await actor.next()).name, to).toBe('features')
  }
})

conversation('RFC 6120 §4.9.3.6: a domain that is not served here', {}, async (scene) => {
  for (const to of ['mantua.example', 'juliet@verona.example', 'verona.example/balcony', 'xn--', ' ']) {
    const actor = await scene.visit()
    await actor.sends(
      actor.framing === 'frames'
        ? `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${to}' version='1.0'/>`
        : streamHeader(`to='${to}' version='1.0'`),
    )
    await failsWith(actor, 'host-unknown')
  }
})

conversation('RFC 6120 §4.9.3.7: a header without a domain', streams, async ({ visit }) => {
  for (const attributes of ["version='1.0'", "to='' version='1.0'"]) {
    const actor = await visit()
    await actor.sends(streamHeader(attributes))
    await failsWith(actor, 'improper-addressing')
    expect(actor.header?.attrs.from).toBe('verona.example')
  }
})

conversation('RFC 6120 §4.7.5: a version below 1.0 is refused, one above is answered with 1.0', streams, async ({ visit }) => {
  for (const version of ['', "version='0.9'", "version='1'", "version='x'", "version='-1.0'", "version=''"]) {
    const actor = await visit()
    await actor.sends(streamHeader(`to='verona.example' ${version}`))
    await failsWith(actor, 'unsupported-version')
  }
  for (const version of ['1.0', '1.1', '2.0', '01.00', '12.34']) {
    const actor = await visit()
    await actor.sends(streamHeader(`to='verona.example' version='${version}'`))
    expect((await actor.next()).name, version).toBe('features')
    expect(actor.header?.attrs.version).toBe('1.0')
  }
})

conversation('RFC 6120 §4.8: a header in other namespaces', streams, async ({ visit }) => {
  for (const namespaces of [
    `xmlns='${NS_CLIENT}' xmlns:stream='urn:wrong'`,
    `xmlns='jabber:server' xmlns:stream='${NS_STREAMS}'`,
    `xmlns:stream='${NS_STREAMS}'`,
  ]) {
    const actor = await visit()
    await actor.sends(streamHeader(undefined, namespaces))
    await failsWith(actor, 'invalid-namespace')
  }
})

conversation('RFC 6120 §4.8.5: any prefix will do for the streams namespace, or none', streams, async ({ visit }) => {
  const actor = await visit()
  await actor.sends(`<s:stream to='verona.example' version='1.0' xmlns='${NS_CLIENT}' xmlns:s='${NS_STREAMS}'>`)
  expect((await actor.next()).name).toBe('features')
  await actor.sends('</s:stream>')
  await ends(actor)
})

conversation(
  'RFC 6120 §4.9.3.9: a header from somebody else than who has logged in',
  memory,
  async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    for (const from of ['romeo@verona.example', 'verona.example', '@', 'a b@verona.example']) {
      const actor = await visit()
      await actor.logsIn('juliet', 'secret')
      const second = await visit()
      await logsInWithoutHeader(second)
      await second.sends(streamHeader(`to='verona.example' version='1.0' from='${from}'`))
      const error = (await second.collects()).find(({ name }) => name === 'error')
      expect(error?.getChild('invalid-from', 'urn:ietf:params:xml:ns:xmpp-streams'), from).toBeDefined()
    }
  },
)

const plain = (username: string, password: string): string =>
  `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from(`\0${username}\0${password}`).toString('base64')}</auth>`

/** Up to and with `<success/>`; the new stream is not opened. */
const logsInWithoutHeader = async (actor: Actor): Promise<void> => {
  await actor.opensStream()
  await actor.sends(plain('juliet', 'secret'))
  expect((await actor.next()).name).toBe('success')
}

conversation(
  'RFC 6120 §4.7.1: a header from the account itself, with or without a resource',
  memory,
  async ({ visit, createAccount }) => {
    await createAccount('juliet@verona.example')
    for (const from of ['juliet@verona.example', 'Juliet@Verona.Example/balcony']) {
      const actor = await visit()
      await logsInWithoutHeader(actor)
      await actor.sends(streamHeader(`to='verona.example' version='1.0' from='${from}'`))
      expect((await actor.next()).name, from).toBe('features')
    }
  },
)

// ---- errors

conversation('RFC 6120 §4.9.1.2: an error before the header is answered with a header first', {}, async ({ visit }) => {
  const actor = await visit()
  await actor.sendsRaw('<presence/>')
  await failsWith(actor, actor.framing === 'frames' ? 'invalid-namespace' : 'bad-format')
  if (actor.framing === 'stream') expect(actor.header?.attrs.from).toBe('verona.example')
})

conversation('RFC 6120 §4.9.1.1: nothing is read behind what ended the stream', streams, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  const actor = await visit()
  await actor.opensStream()
  await actor.sendsRaw(`<nonsense xmlns='urn:x'/>${plain('juliet', 'secret')}`)
  await failsWith(actor, 'not-authorized')
})

const bad: readonly (readonly [condition: string, said: string])[] = [
  ['restricted-xml', '<!DOCTYPE message>'],
  ['restricted-xml', '<!-- a comment -->'],
  ['restricted-xml', '<?php exit ?>'],
  ['restricted-xml', '<message><!-- inside --></message>'],
  ['restricted-xml', '<message><?pi?></message>'],
  ['restricted-xml', '<message>&nbsp;</message>'],
  ['not-well-formed', '<message></presence>'],
  ['not-well-formed', "<message a='1' a='2'/>"],
  ['not-well-formed', '<message a=1/>'],
  ['not-well-formed', '<message><body>a < b</body></message>'],
  ['not-well-formed', '<message>\u0001</message>'],
  ['not-well-formed', '<message>&#0;</message>'],
  ['not-well-formed', '<1/>'],
  ['not-well-formed', '</stream:streams>'],
  ['not-well-formed', '<x:message/>'],
  ['not-well-formed', "<message x:a='1'/>"],
  ['bad-format', 'words'],
]

for (const [condition, said] of bad)
  conversation(`RFC 6120 §4.9.3.13, §11: ${JSON.stringify(said)} is ${condition}, wherever it is cut`, memory, (scene) =>
    isRefused(scene, streamHeader() + said, condition),
  )

conversation('RFC 6120 §11.6: another encoding than UTF-8, wherever it is cut', memory, async (scene) => {
  const header = streamHeader().replace("'1.0'?", "'1.0' encoding='ISO-8859-1'?")
  await isRefused(scene, header, 'unsupported-encoding')
})

conversation('RFC 6120 §4.9.3.12: what needs a login, before it', {}, async ({ visit }) => {
  for (const said of [
    xml`<message to="romeo@verona.example"><body>now</body></message>`,
    xml`<presence/>`,
    ping('p1'),
    xml`<iq type="set" id="b"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>`,
    xml`<enable xmlns="urn:xmpp:sm:3"/>`,
    xml`<resume xmlns="urn:xmpp:sm:3" previd="x" h="0"/>`,
    xml`<strange xmlns="urn:strange"/>`,
  ]) {
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(said)
    await failsWith(actor, 'not-authorized')
  }
})

conversation('RFC 6120 §7.1: no stanza but the binding before the binding', {}, async ({ visit, createAccount }) => {
  await createAccount('juliet@verona.example')
  for (const said of [xml`<presence/>`, ping('p1'), xml`<message to="romeo@verona.example"/>`]) {
    const actor = await visit()
    await actor.logsIn('juliet', 'secret')
    await actor.sends(said)
    await failsWith(actor, 'not-authorized')
  }
})

conversation('RFC 6120 §4.9.3.24: a first-level element that is no stanza', {}, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<strange xmlns="urn:strange"/>`)
  await failsWith(juliet, 'unsupported-stanza-type')
})

conversation('RFC 6120 §8.1.2.1: a client speaks for itself only', {}, async ({ connect }) => {
  for (const from of ['romeo@verona.example', 'juliet@verona.example/chamber', 'verona.example', '@', 'juliet@']) {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(xml`<message from="${from}" to="romeo@verona.example"><body>I am not I</body></message>`)
    await failsWith(juliet, 'invalid-from')
  }
  const juliet = await connect('juliet@verona.example/balcony')
  for (const from of [juliet.jid, juliet.bareJid, 'JULIET@verona.example/balcony']) {
    await juliet.sends(xml`<iq type="get" id="p" from="${from}" to="verona.example"><ping xmlns="urn:xmpp:ping"/></iq>`)
    await juliet.receives(pong('p', juliet))
  }
})

conversation('RFC 6120 §8.3.3.8: an address that is none is refused, and the stream lives', {}, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ping('p1', '@verona.example'))
  await juliet.receives(refusal('jid-malformed', { id: 'p1', to: juliet.jid }))
  await juliet.sends(ping('p2'))
  await juliet.receives(pong('p2', juliet))
})

conversation('RFC 6120 §13.12: 10 KB are enough before a login', {}, async ({ visit }) => {
  const fits = await visit()
  await fits.opensStream()
  await fits.sends(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'>${'A'.repeat(9_600)}</auth>`)
  expect((await fits.next()).name).toBe('failure')
  const large = await visit()
  await large.opensStream()
  await large.sends(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'>${'A'.repeat(10_240)}</auth>`)
  await failsWith(large, 'policy-violation')
})

conversation('RFC 6120 §13.12: an element without an end is refused as soon as it is too large', streams, async ({ visit }) => {
  const actor = await visit()
  await actor.opensStream()
  await actor.sendsRaw('<auth>')
  for (let i = 0; i < 11 && !actor.hasEnded; i++) await actor.sendsRaw('A'.repeat(1_000))
  await failsWith(actor, 'policy-violation')
})

conversation(
  'RFC 6120 §13.12: a stanza may be as large as the configuration says, and no larger',
  streams,
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const sized = (bytes: number): string =>
      ping('p1').replace('<ping ', `<ping a='${'x'.repeat(bytes - ping('p1').length - 5)}' `)
    expect(sized(262_144)).toHaveLength(262_144)
    await juliet.sends(sized(262_144))
    await juliet.receives(pong('p1', juliet))
    await juliet.sends(sized(262_145))
    await failsWith(juliet, 'policy-violation')
  },
)

conversation('RFC 6120 §13.12: elements nested too deep', memory, async ({ connect, visit }) => {
  const nested = (depth: number): string => `<message>${'<x>'.repeat(depth - 1)}${'</x>'.repeat(depth - 1)}</message>`
  const early = await visit()
  await early.opensStream()
  await early.sends(nested(17))
  await failsWith(early, 'policy-violation')
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(nested(65))
  await failsWith(juliet, 'policy-violation')
})

conversation('RFC 6120 §4.6.1: white space between elements means nothing', streams, async ({ visit, connect }) => {
  const early = await visit()
  await early.opensStream()
  await early.sendsRaw(' \r\n\t ')
  await early.receivesNothing()
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sendsRaw(' \n')
  await juliet.receivesNothing()
  await juliet.sends(ping('p1'))
  await juliet.receives(pong('p1', juliet))
})

// ---- the end

conversation('RFC 6120 §4.4: the end tag is answered with the end tag', {}, async ({ visit, connect }) => {
  const early = await visit()
  await early.opensStream()
  const juliet = await connect('juliet@verona.example/balcony')
  for (const actor of [early, juliet]) {
    await actor.sends(actor.framing === 'frames' ? "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>" : '</stream:stream>')
    await ends(actor)
  }
})

conversation(
  'RFC 6120 §4.4: what was said before the end tag counts, also what is still being worked on',
  { ...streams, modules: [presence, offline] },
  async ({ comesOnline, connect, driver }) => {
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await connect('juliet@verona.example/balcony')
    driver.hold()
    await juliet.sends(
      `${xml`<message to="${romeo.bareJid}" type="chat" id="m1"><body>good night</body></message>`}${ping('p1')}${xml`<message to="${romeo.bareJid}" type="chat" id="m2"><body>adieu</body></message>`}</stream:stream>`,
    )
    await juliet.receivesNothing()
    driver.release()
    await juliet.receives(pong('p1', juliet))
    await ends(juliet)
    expect((await romeo.collects()).map(({ attrs }) => attrs.id)).toEqual(['m1', 'm2'])
  },
)

conversation('RFC 6120 §4.9.1.1: a client that reports an error is told goodbye', streams, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(
    "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
  )
  await ends(juliet)
})

conversation(
  'RFC 6120 §4.9.3.20: a server that stops says so to everybody',
  { ...memory, modules: [presence, offline], nodes: 1 },
  async ({ visit, connect, server }) => {
    const silent = await visit()
    const greeted = await visit()
    await greeted.opensStream()
    const juliet = await connect('juliet@verona.example/balcony')
    const resumable = await connect('romeo@verona.example/orchard')
    await resumable.sends(xml`<enable xmlns="urn:xmpp:sm:3" resume="true"/>`)
    await resumable.receives(xml`<enabled xmlns="urn:xmpp:sm:3" resume="true" id="${any}" max="300"/>`)
    await server.stop()
    for (const actor of [silent, greeted, juliet, resumable]) await failsWith(actor, 'system-shutdown')
    expect(server.sessions.count).toBe(0)
  },
)

conversation(
  'RFC 6120 §13.12: every 4 KiB count as a stanza, so that large ones do not cost more than many',
  { ...memory, config: { limits: { stanzaBurst: 20, stanzasPerSecond: 10 }, login: { allowPlainWithoutTls: true } } },
  async ({ connect, clock }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    clock.advance('10s')
    await juliet.sends(xml`<message to="${juliet.jid}" type="headline"><body>${'x'.repeat(100_000)}</body></message>`)
    for (let i = 0; i < 3; i++) await juliet.sends(ping(`p${i}`))
    const early = (await juliet.collects()).filter(({ name }) => name === 'iq')
    expect(early.length).toBeLessThanOrEqual(1)
    clock.advance('2s')
    expect((await juliet.collects()).length + early.length).toBe(3)
  },
)
