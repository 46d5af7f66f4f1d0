import { expect } from 'vitest'
import { carbons } from '#server/modules/carbons.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { heaviestRead } from '#server/testing/heaviest-read.ts'
import type { LogEntry } from '#storage/shapes.ts'
import { StorageError } from '#storage/storage-error.ts'

const modules = [presence, offline, carbons]
const memory = { modules, carriers: ['memory'] } as const
const romeo = 'romeo@verona.example'
const sm = 'urn:xmpp:sm:3'

const says = (id: string, to = romeo): string => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const stanzaId = xml`<stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/>`
const heard = (id: string, from: Actor, to = romeo): string =>
  xml`<message type="chat" from="${from.jid}" to="${to}" id="${id}"><body>${id}</body>${stanzaId}</message>`
const late = (id: string, from: Actor, to = romeo): string =>
  xml`<message type="chat" from="${from.jid}" to="${to}" id="${id}"><body>${id}</body><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>${stanzaId}</message>`
const asked = `<r xmlns="${sm}"/>`
const acks = (h: number): string => `<a xmlns="${sm}" h="${h}"/>`

const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${sm}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${sm}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

const resumes = async ({ visit }: Scene, jid: string, token: string, h: number): Promise<Actor> => {
  const actor = await visit()
  await actor.logsIn(jid.split('@')[0] ?? '', 'secret')
  await actor.sends(`<resume xmlns="${sm}" previd="${token}" h="${h}"/>`)
  actor.is(jid)
  return actor
}
const resumed = (token: string, h = 0): string => `<resumed xmlns="${sm}" previd="${token}" h="${h}"/>`
const pending = async ({ server, driver }: Scene, actor: Actor): Promise<number> => {
  await driver.check()
  return server.ledger.countPending(actor.bareJid)
}

conversation('XEP-0198 §5: a resumed device gets what another one has taken meanwhile', memory, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await scene.comesOnline(`${romeo}/phone`)
  const desk = await scene.comesOnline(`${romeo}/desk`)
  await phone.ignores()
  const token = await enables(phone)
  await phone.vanishes()
  await juliet.sends(says('m1'))
  await desk.receives(heard('m1', juliet))
  const back = await resumes(scene, phone.jid, token, 0)
  await back.receives(resumed(token), late('m1', juliet), asked)
  await back.receivesNothing()
})

conversation('RFC 6121 §8.5.3.1: a full JID gets its messages on resuming, whatever its priority', memory, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const bot = await scene.comesOnline(`${romeo}/bot`, '<presence><priority>-1</priority></presence>')
  const token = await enables(bot)
  await bot.vanishes()
  await juliet.sends(says('m1') + says('m2', bot.jid))
  const back = await resumes(scene, bot.jid, token, 0)
  await back.receives(resumed(token), late('m2', juliet, bot.jid), asked)
  await back.receivesNothing()
})

conversation(
  'RFC 6121 §8.5.3.2.1: what waited for a full JID that never comes back is for the others, though they have had newer ones',
  memory,
  async (scene) => {
    const { comesOnline, clock } = scene
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    const desk = await comesOnline(`${romeo}/desk`)
    await phone.ignores()
    await enables(phone)
    await phone.vanishes()
    await juliet.sends(says('m1', phone.jid) + says('m2'))
    await desk.receives(heard('m2', juliet))
    clock.advance('5m')
    await desk.receivesInAnyOrder(
      xml`<presence type="unavailable" from="${phone.jid}" to="${romeo}"/>`,
      late('m1', juliet, phone.jid),
    )
    await desk.receivesNothing()
    if ((await pending(scene, desk)) > 0) throw new Error('something is pending')
  },
)

conversation('RFC 6120 §10.1: what waits for a full JID comes before what is sent to it now', memory, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  await scene.createAccount(romeo)
  const to = `${romeo}/phone`
  await juliet.sends(says('m1', to))
  scene.clock.advance('1m')
  const phone = await scene.connect(to)
  await juliet.sends(says('m2', to))
  await phone.receives(late('m1', juliet, to), heard('m2', juliet, to))
  await juliet.sends(says('m3', to))
  await phone.receives(heard('m3', juliet, to))
  await phone.sends('<presence/>')
  await phone.receives(xml`<presence from="${phone.jid}" to="${any}"/>`)
  await phone.receivesNothing()
})

conversation('DESIGN P2: an acknowledgement amid a read sends nothing twice', memory, async (scene) => {
  const { comesOnline, createAccount, connect, driver } = scene
  const juliet = await comesOnline('juliet@verona.example/balcony')
  await createAccount(romeo)
  await juliet.sends(says('m1') + says('m2'))
  const { log } = driver
  const { pending: read } = log
  const gate = Promise.withResolvers<void>()
  log.pending = (...query) => gate.promise.then(() => read(...query))
  const phone = await connect(`${romeo}/phone`)
  await phone.sends(`<enable xmlns="${sm}"/><presence/>`)
  await phone.ignores()
  await juliet.sends(says('m3'))
  await phone.sends(acks(1))
  gate.resolve()
  await phone.receives(late('m1', juliet), asked, late('m2', juliet), heard('m3', juliet))
  await phone.receivesNothing()
})

conversation('DESIGN P4: a read that fails is tried again, and nothing overtakes what it was to bring', memory, async (scene) => {
  const { comesOnline, connect, createAccount, driver, clock } = scene
  const juliet = await comesOnline('juliet@verona.example/balcony')
  await createAccount(romeo)
  await juliet.sends(says('m1'))
  const { log } = driver
  const { pending: read } = log
  log.pending = (): Promise<readonly LogEntry[]> => Promise.reject(new StorageError('no answer', { isTransient: true }))
  const phone = await connect(`${romeo}/phone`)
  await phone.sends('<presence/>')
  await juliet.sends(says('m2'))
  await phone.receives(xml`<presence from="${phone.jid}" to="${any}"/>`)
  await phone.receivesNothing()
  log.pending = read
  clock.advance('5s')
  await phone.receives(late('m1', juliet), heard('m2', juliet))
  await phone.receivesNothing()
})

conversation(
  'DESIGN P5: a client that comes back to more than fits its queue gets it piece by piece, and is not cut off',
  { ...memory, config: { limits: { rates: false, sendQueueBytes: '64 KiB' } } },
  async ({ comesOnline, connect, createAccount }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await createAccount(romeo)
    const body = 'x'.repeat(20_000)
    for (let n = 0; n < 50; n++)
      await juliet.sends(xml`<message type="chat" to="${romeo}" id="m${n}"><body>${body}</body></message>`)
    const phone = await connect(`${romeo}/phone`)
    await phone.sends('<presence/>')
    const got = (await phone.collects()).filter(({ name }) => name === 'message').map(({ attrs }) => attrs.id)
    if (got.join() !== Array.from({ length: 50 }, (_, n) => `m${n}`).join()) throw new Error(got.join())
  },
)

conversation(
  'DESIGN P1: a refusal behind a message does not acknowledge that message',
  { ...memory, nodes: 1 },
  async ({ comesOnline, createAccount, driver }) => {
    await createAccount(romeo)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(says('m0'))
    await enables(juliet)
    driver.hold()
    await juliet.sends(says('m1') + asked + says('m2', 'verona.example'))
    await juliet.receives(xml`<message type="error" id="m2" from="verona.example" to="${juliet.jid}">${any}</message>`, asked)
    await juliet.receivesNothing()
    driver.release()
    await juliet.receives(acks(2))
  },
)

conversation(
  'XEP-0198 §5: a session that ends while its resumption waits for the disk fails it, with a count that is true',
  { ...memory, config: { limits: { loginTimeout: '10m' } }, nodes: 1 },
  async (scene) => {
    const { comesOnline, createAccount, driver, clock } = scene
    await createAccount(romeo)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const token = await enables(juliet)
    const back = await scene.visit()
    await back.logsIn('juliet', 'secret')
    driver.hold()
    await juliet.sends(says('m1') + says('m2'))
    await juliet.vanishes()
    clock.advance('290s')
    await back.sends(`<resume xmlns="${sm}" previd="${token}" h="0"/>`)
    await back.receivesNothing()
    clock.advance('11s')
    await back.receivesNothing()
    driver.release()
    await back.receives(`<failed xmlns="${sm}" h="2"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`)
    await back.binds('balcony')
  },
)

conversation(
  'RFC 6120 §7.7.2.2, §10.1: what a session had received before its resource was bound again comes first',
  memory,
  async ({ comesOnline, connect, visit, driver }) => {
    const phone = await comesOnline(`${romeo}/phone`)
    const juliet = await connect('juliet@verona.example/balcony')
    const next = await visit()
    await next.logsIn('juliet', 'secret')
    driver.hold()
    // Whether there is such an account is being looked up, and the next message waits for that.
    await juliet.sends(says('m0', 'nobody@verona.example') + says('m1'))
    await next.binds('balcony')
    await next.sends(says('m2'))
    driver.release()
    await phone.receives(heard('m1', juliet), heard('m2', next))
    await phone.receivesNothing()
  },
)

conversation(
  'DESIGN P2: with the ledger off, what a lost device had in common with another one is not sent again',
  { ...memory, config: { ledger: { mode: 'off' } } },
  async ({ comesOnline, clock }) => {
    const plain = (id: string, from: Actor, to = romeo): string =>
      xml`<message type="chat" from="${from.jid}" to="${to}" id="${id}"><body>${id}</body></message>`
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const desk = await comesOnline(`${romeo}/desk`)
    const phone = await comesOnline(`${romeo}/phone`)
    await desk.ignores()
    await enables(phone)
    await juliet.sends(says('m1') + says('m2', phone.jid))
    await desk.receives(plain('m1', juliet))
    await phone.receives(plain('m1', juliet), asked, plain('m2', juliet, phone.jid))
    await phone.vanishes()
    clock.advance('5m')
    await desk.receivesInAnyOrder(
      xml`<presence type="unavailable" from="${phone.jid}" to="${romeo}"/>`,
      heard('m2', juliet, phone.jid),
    )
    await desk.receivesNothing()
  },
)

const STATE = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
const types = (to = romeo): string => xml`<message type="chat" to="${to}">${STATE}</message>`
const typing = (from: Actor, to = romeo): string => xml`<message type="chat" from="${from.jid}" to="${to}">${STATE}</message>`

conversation('RFC 6120 §10.1: what is not kept does not overtake what a session is still to read', memory, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await scene.comesOnline(`${romeo}/phone`)
  const token = await enables(phone)
  await phone.vanishes()
  await juliet.sends(types() + says('m1') + types() + says('m2') + types())
  const back = await resumes(scene, phone.jid, token, 0)
  await back.receives(
    resumed(token),
    typing(juliet),
    asked,
    late('m1', juliet),
    late('m2', juliet),
    typing(juliet),
    typing(juliet),
  )
  await juliet.sends(types())
  await back.receives(typing(juliet))
})

conversation('RFC 6120 §10.1: nor does a copy of what another device received', memory, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await scene.comesOnline(`${romeo}/phone`)
  const desk = await scene.comesOnline(`${romeo}/desk`)
  await phone.ignores()
  await phone.sends('<iq type="set" id="c1"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
  await phone.ignores()
  const token = await enables(phone)
  await phone.vanishes()
  await juliet.sends(says('m1') + says('m2', desk.jid))
  const back = await resumes(scene, phone.jid, token, 0)
  await back.receives(resumed(token), late('m1', juliet), asked)
  const copy = await back.next()
  if (copy.getChild('received', 'urn:xmpp:carbons:2') === undefined) throw new Error(copy.name)
})

conversation(
  'RFC 6120 §10.1: a client that never says it is available does not wait for what is not kept',
  memory,
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    const bot = await scene.connect(`${romeo}/bot`)
    await juliet.sends(types(bot.jid))
    await bot.receives(typing(juliet, bot.jid))
  },
)

conversation(
  'DESIGN P5: what is not kept waits for a session that is behind up to a hundred; more goes ahead',
  memory,
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    const phone = await scene.comesOnline(`${romeo}/phone`)
    const token = await enables(phone)
    await phone.vanishes()
    await juliet.sends(says('m1'))
    for (let n = 0; n < 102; n++) await juliet.sends(types())
    const back = await resumes(scene, phone.jid, token, 0)
    const got = (await back.collects()).filter(({ name }) => name === 'message')
    if (got.length !== 103 || got[101]?.attrs.id !== 'm1') throw new Error(`${got.length}, m1 not in place 101`)
  },
)

conversation(
  'RFC 6121 §8.5.2.2.1: of the largest messages that wait few are read at once, and all come in order',
  memory,
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    await scene.createAccount(romeo)
    const ids = Array.from({ length: 12 }, (_, i) => `m${i}`)
    for (const id of ids)
      await juliet.sends(xml`<message type="chat" to="${romeo}" id="${id}"><body>${'x'.repeat(100_000)}</body></message>`)
    const read = heaviestRead(scene.driver.log)
    const phone = await scene.connect(`${romeo}/phone`)
    await phone.sends('<presence/>')
    const came = (await phone.collects()).filter(({ name }) => name === 'message')
    expect(came.map(({ attrs }) => attrs.id)).toEqual(ids)
    expect(read.most).toBeLessThan(400_000)
    await phone.receivesNothing()
  },
)
