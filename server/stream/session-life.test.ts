import { expect, vi } from 'vitest'
import type { Overrides } from '#server/base/config.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { MemoryConnection } from '#server/testing/memory-transport.ts'
import { failsWith } from '#server/testing/stream-end.ts'

const memory = { carriers: ['memory'] } as const

const ping = (id: string, to = 'verona.example'): string =>
  xml`<iq type="get" id="${id}" to="${to}"><ping xmlns="urn:xmpp:ping"/></iq>`
const pong = (id: string, actor: Actor): string => xml`<iq type="result" id="${id}" from="verona.example" to="${actor.jid}"/>`

conversation(
  'RFC 6120 §4.9.3.4: a client that has not bound a resource in time',
  memory,
  async ({ visit, createAccount, connect, clock }) => {
    await createAccount('juliet@verona.example')
    const bound = await connect('romeo@verona.example/orchard')
    const silent = await visit()
    const greeted = await visit()
    await greeted.opensStream()
    const known = await visit()
    await known.logsIn('juliet', 'secret')
    clock.advance('29s')
    for (const actor of [silent, greeted, known]) await actor.receivesNothing()
    clock.advance('1s')
    for (const actor of [silent, greeted, known]) await failsWith(actor, 'connection-timeout')
    await bound.sends(ping('p1'))
    await bound.receives(pong('p1', bound))
  },
)

conversation(
  'RFC 6120 §4.6.1: a silent client is tried by white space, and may stay silent',
  memory,
  async ({ connect, clock }) => {
    const keepAlive = vi.spyOn(MemoryConnection.prototype, 'keepAlive')
    const juliet = await connect('juliet@verona.example/balcony')
    clock.advance('14m')
    expect(keepAlive).not.toHaveBeenCalled()
    clock.advance('1m')
    expect(keepAlive).toHaveBeenCalledTimes(1)
    clock.advance('2h')
    await juliet.sends(ping('p1'))
    await juliet.receives(pong('p1', juliet))
    keepAlive.mockRestore()
  },
)

conversation('XEP-0198 §4: a silent client is asked, and cut when it does not answer', memory, async ({ connect, clock }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  for (const actor of [juliet, romeo]) {
    await actor.sends(xml`<enable xmlns="urn:xmpp:sm:3"/>`)
    await actor.receives(xml`<enabled xmlns="urn:xmpp:sm:3"/>`)
  }
  clock.advance('15m')
  for (const actor of [juliet, romeo]) await actor.receives(xml`<r xmlns="urn:xmpp:sm:3"/>`)
  await juliet.sends(xml`<a xmlns="urn:xmpp:sm:3" h="0"/>`)
  clock.advance('8m')
  expect([juliet.hasEnded, romeo.hasEnded]).toEqual([false, true])
})

conversation(
  'a client that does not read is closed after a while, and finds its messages when it is back',
  {
    ...memory,
    modules: [presence, offline],
    config: { limits: { sendQueueBytes: '64 KiB' }, login: { allowPlainWithoutTls: true } },
  },
  async ({ comesOnline, clock }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const romeo = await comesOnline('romeo@verona.example/orchard')
    await romeo.stalls()
    const long = 'x'.repeat(20_000)
    for (let i = 0; i < 8; i++)
      await juliet.sends(xml`<message to="${romeo.bareJid}" type="chat" id="m${i}"><body>${long}</body></message>`)
    clock.advance('60s')
    expect(romeo.hasEnded).toBe(false)
    clock.advance('10s')
    expect(romeo.hasEnded).toBe(true)
    const again = await comesOnlineKeeping(comesOnline, 'romeo@verona.example/orchard')
    expect(again.filter(({ name }) => name === 'message').map(({ attrs }) => attrs.id)).toEqual([
      'm0',
      'm1',
      'm2',
      'm3',
      'm4',
      'm5',
      'm6',
      'm7',
    ])
  },
)

/** Comes online and gives what came thereupon. */
const comesOnlineKeeping = async (comesOnline: Scene['comesOnline'], jid: string) => {
  const actor = await comesOnline(jid, '')
  await actor.sends('<presence/>')
  return actor.collects()
}

conversation(
  'a client that does not read is closed at once when what no store keeps piles up before it',
  { ...memory, config: { limits: { sendQueueBytes: '64 KiB' }, login: { allowPlainWithoutTls: true } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await romeo.stalls()
    const large = (id: number): string => ping(`p${id}`, romeo.jid).replace('<ping ', `<ping a='${'x'.repeat(20_000)}' `)
    for (let i = 0; i < 13; i++) await juliet.sends(large(i))
    expect(romeo.hasEnded).toBe(false)
    await juliet.sends(large(13))
    expect(romeo.hasEnded).toBe(true)
    await juliet.ignores()
    await juliet.sends(ping('p14', romeo.jid))
    await juliet.receives(refusal('service-unavailable', { id: 'p14', from: romeo.jid, to: juliet.jid }))
  },
)

const rated = { limits: { stanzaBurst: 20, stanzasPerSecond: 10 }, login: { allowPlainWithoutTls: true } }

conversation(
  'a client that sends too fast is read more slowly, and loses nothing',
  { ...memory, config: rated },
  async ({ connect, clock }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    clock.advance('10s')
    for (let i = 0; i < 40; i++) await juliet.sends(ping(`p${i}`))
    const atOnce = await juliet.collects()
    expect(atOnce.length).toBeGreaterThanOrEqual(19)
    expect(atOnce.length).toBeLessThanOrEqual(22)
    clock.advance('1s')
    expect((await juliet.collects()).length).toBeGreaterThanOrEqual(9)
    clock.advance('1s')
    const ids = (await juliet.collects()).map(({ attrs }) => attrs.id)
    expect(ids.at(-1)).toBe('p39')
    await juliet.sends(ping('p40'))
    clock.advance('1s')
    await juliet.receives(pong('p40', juliet))
  },
)

conversation(
  'a client that sends too fast is not slowed down where rates are not limited',
  { ...memory, config: { ...rated, limits: { ...rated.limits, rates: false } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    for (let i = 0; i < 100; i++) await juliet.sends(ping(`p${i}`))
    expect(await juliet.collects()).toHaveLength(100)
  },
)

const unacked = (streamManagement: Overrides): Overrides => ({ streamManagement, login: { allowPlainWithoutTls: true } })

/** Enables resumption, and gives the token. */
const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(xml`<enable xmlns="urn:xmpp:sm:3" resume="true"/>`)
  const [enabled] = await actor.receives(xml`<enabled xmlns="urn:xmpp:sm:3" resume="true" id="${any}" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

for (const [limit, config] of [
  ['stanzas', unacked({ maxUnackedStanzas: 10 })],
  ['bytes', unacked({ maxUnackedBytes: '64 KiB' })],
] as const)
  conversation(
    `XEP-0198 §5: a session that nobody resumes ends when too many ${limit} wait in it, and its messages stay`,
    { ...memory, modules: [presence, offline], config, nodes: 1 },
    async ({ comesOnline, server }) => {
      const juliet = await comesOnline('juliet@verona.example/balcony')
      const romeo = await comesOnline('romeo@verona.example/orchard')
      await enables(romeo)
      await romeo.vanishes()
      await juliet.sends(xml`<message to="${romeo.jid}" type="chat" id="m1"><body>good night</body></message>`)
      const large = (id: string): string => ping(id, romeo.jid).replace('<ping ', `<ping a='${'x'.repeat(6_000)}' `)
      for (let i = 0; i < 10; i++) await juliet.sends(large(`p${i}`))
      expect(server.sessions.count).toBe(2)
      await juliet.sends(large('p10'))
      expect(server.sessions.count).toBe(1)
      const again = await comesOnlineKeeping(comesOnline, 'romeo@verona.example/orchard')
      expect(again.filter(({ name }) => name === 'message').map(({ attrs }) => attrs.id)).toEqual(['m1'])
    },
  )

conversation(
  'XEP-0198 §5: a client that is gone again before its session was ready for it may come once more, and then the time is up',
  { ...memory, modules: [presence, offline], nodes: 1 },
  async ({ comesOnline, visit, driver, server, clock }) => {
    await comesOnline('juliet@verona.example/balcony')
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const token = await enables(romeo)
    const resume = `<resume xmlns="urn:xmpp:sm:3" previd="${token}" h="0"/>`
    driver.hold()
    await romeo.sends(xml`<message to="juliet@verona.example" type="chat" id="m1"><body>adieu</body></message>`)
    const hasty = await visit()
    await hasty.logsIn('romeo', 'secret')
    const rival = await visit()
    await rival.logsIn('romeo', 'secret')
    await hasty.sends(resume)
    await rival.sends(resume)
    await failsWith(romeo, 'conflict')
    await failsWith(hasty, 'conflict')
    await rival.vanishes()
    driver.release()
    await rival.ignores()
    expect(server.sessions.count).toBe(2)
    const patient = await visit()
    await patient.logsIn('romeo', 'secret')
    await patient.sends(resume)
    await patient.receives(`<resumed xmlns="urn:xmpp:sm:3" previd="${token}" h="1"/>`)
    await patient.vanishes()
    clock.advance('301s')
    expect(server.sessions.count).toBe(1)
  },
)

conversation(
  'XEP-0198 §4: a client that acknowledges nothing is given up when too much waits for it',
  { ...memory, config: { streamManagement: { maxUnackedStanzas: 10 }, login: { allowPlainWithoutTls: true } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await romeo.sends(xml`<enable xmlns="urn:xmpp:sm:3"/>`)
    for (let i = 0; i < 11; i++) await juliet.sends(ping(`p${i}`, romeo.jid))
    const last = (await romeo.collects()).filter(({ name }) => name === 'error')
    expect(last.map((error) => error.children.length > 0)).toEqual([true])
    expect(romeo.hasEnded).toBe(true)
  },
)
