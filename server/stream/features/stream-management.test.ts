import { vi } from 'vitest'
import { carbons } from '#server/modules/carbons.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { Actor } from '#server/testing/actor.ts'
import { any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { openLines } from '#server/testing/lines.ts'
import { socketListeners } from '#server/testing/socket-listeners.ts'

const modules = [presence, offline, carbons]
const romeo = 'romeo@verona.example'
const sm = 'urn:xmpp:sm:3'

const says = (id: string, to = romeo): string => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const heard = (id: string, from: Actor, to = romeo): string =>
  xml`<message type="chat" from="${from.jid}" to="${to}" id="${id}"><body>${id}</body><stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`
const late = (id: string, from: Actor): string =>
  xml`<message type="chat" from="${from.jid}" to="${romeo}" id="${id}"><body>${id}</body><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>
    <stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`
const asked = `<r xmlns="${sm}"/>`
const acks = (h: number): string => `<a xmlns="${sm}" h="${h}"/>`

/** Enables with resumption; gives the token. */
const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${sm}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${sm}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

/** Logs in on a new connection and asks to resume. */
const resumes = async ({ visit }: Scene, jid: string, token: string, h: number): Promise<Actor> => {
  const actor = await visit()
  await actor.logsIn(jid.split('@')[0] ?? '', 'secret')
  await actor.sends(`<resume xmlns="${sm}" previd="${token}" h="${h}"/>`)
  actor.is(jid)
  return actor
}

conversation(
  'XEP-0198 §3: enabling is offered after login, and refused before binding and twice',
  { modules },
  async ({ visit, createAccount, connect }) => {
    await createAccount(romeo)
    const early = await visit()
    const features = await early.logsIn('romeo', 'secret')
    if (features.getChild('sm', sm) === undefined) throw new Error('not offered')
    await early.sends(`<enable xmlns="${sm}"/>`)
    const refused = `<failed xmlns="${sm}"><unexpected-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`
    await early.receives(refused)
    const phone = await connect(`${romeo}/phone`)
    await phone.sends(`<enable xmlns="${sm}"/>`)
    await phone.receives(`<enabled xmlns="${sm}"/>`)
    await phone.sends(`<enable xmlns="${sm}"/>`)
    await phone.receives(refused)
  },
)

conversation('XEP-0198 §4: h counts stanzas only, from enabling on', { modules }, async ({ connect, domain }) => {
  const phone = await connect(`${romeo}/phone`)
  await phone.sends(xml`<iq type="get" id="p0" to="${domain}"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await phone.ignores()
  await enables(phone)
  await phone.sends(asked)
  await phone.receives(acks(0))
  await phone.sends(says('m1', 'nobody@verona.example') + says('m2', 'nobody@verona.example'))
  await phone.ignores()
  await phone.sends(asked + asked)
  await phone.receives(acks(2), acks(2))
})

conversation(
  'DESIGN P1: an acknowledgement waits until what it covers is durable',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, createAccount, driver }) => {
    await createAccount(romeo)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await enables(juliet)
    driver.hold()
    await juliet.sends(says('m1') + asked + says('m2'))
    await juliet.receivesNothing()
    driver.release()
    await juliet.receives(acks(1))
  },
)

conversation('XEP-0198 §4: what a client does not acknowledge stays pending', { modules }, async ({ comesOnline, connect }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const phone = await comesOnline(`${romeo}/phone`)
  await enables(phone)
  await juliet.sends(says('m1') + says('m2'))
  await phone.receives(heard('m1', juliet), asked, heard('m2', juliet))
  await phone.sends(acks(1))
  await phone.receives(asked)
  await phone.leaves()
  const again = await connect(`${romeo}/phone`)
  await again.sends('<presence/>')
  await again.receives(xml`<presence from="${again.jid}" to="${any}"/>`, late('m2', juliet))
  await again.receivesNothing()
})

conversation(
  'XEP-0198 §4: acknowledging more than was sent ends the stream with handled-count-too-high',
  { modules },
  async ({ comesOnline }) => {
    const phone = await comesOnline(`${romeo}/phone`)
    await enables(phone)
    await phone.sends(acks(9))
    await phone.receives(xml`<stream:error xmlns:stream="http://etherx.jabber.org/streams"><undefined-condition xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>
    <text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">${any}</text><handled-count-too-high xmlns="${sm}" h="9" send-count="0"/></stream:error>`)
  },
)

conversation(
  'XEP-0198 §5: a cut session is resumed: what was missed comes once, in order, and nothing is announced',
  { modules },
  async (scene) => {
    const { comesOnline, befriend } = scene
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    await befriend(juliet, phone)
    const token = await enables(phone)
    await juliet.sends(says('m1'))
    await phone.receives(heard('m1', juliet), asked)
    await phone.vanishes()
    await juliet.receivesNothing()
    await juliet.sends(says('m2') + says('m3'))
    const back = await resumes(scene, phone.jid, token, 0)
    await back.receives(
      `<resumed xmlns="${sm}" previd="${token}" h="0"/>`,
      heard('m1', juliet),
      asked,
      late('m2', juliet),
      late('m3', juliet),
    )
    await juliet.receivesNothing()
    await back.sends(acks(3))
    await back.receivesNothing()
    await back.sends(says('m4', juliet.jid))
    await juliet.receives(
      xml`<message type="chat" from="${back.jid}" to="${juliet.jid}" id="m4"><body>m4</body><stanza-id xmlns="urn:xmpp:sid:0" by="${juliet.bareJid}" id="${any}"/></message>`,
    )
  },
)

/** Holds back what is read of the entries of accounts, until that is let go. */
const slowReads = (driver: Scene['driver']): (() => void) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { log } = driver
  const range = log.range.bind(log)
  vi.spyOn(log, 'range').mockImplementation(async (...query) => {
    await promise
    return range(...query)
  })
  return resolve
}

const readsSlowly = async (scene: Scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const phone = await scene.comesOnline(`${romeo}/phone`)
  const token = await enables(phone)
  await phone.vanishes()
  await juliet.sends(says('m1'))
  await juliet.receivesNothing()
  const letGo = slowReads(scene.driver)
  const back = await resumes(scene, phone.jid, token, 0)
  await back.receivesNothing()
  return { letGo, back, resumed: `<resumed xmlns="${sm}" previd="${token}" h="0"/>`, missed: late('m1', juliet) }
}

conversation(
  'XEP-0198 §5: the answer to a client that resumes comes with what it missed',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const { letGo, back, resumed, missed } = await readsSlowly(scene)
    letGo()
    await back.receives(resumed, missed, asked)
  },
)

conversation(
  'XEP-0198 §5: the answer to a client that resumes does not wait for a slow store',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const { letGo, back, resumed, missed } = await readsSlowly(scene)
    await scene.clock.advance(50)
    await back.receives(resumed)
    letGo()
    await back.receives(missed, asked)
  },
)

conversation(
  'XEP-0198 §5: a session is resumed while its old stream still looks alive, which gets a conflict',
  { modules },
  async (scene) => {
    const { comesOnline } = scene
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    const token = await enables(phone)
    await juliet.sends(says('m1'))
    await phone.receives(heard('m1', juliet), asked)
    const back = await resumes(scene, phone.jid, token, 0)
    await phone.receives(xml`<stream:error xmlns:stream="http://etherx.jabber.org/streams"><conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>
    <text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">${any}</text></stream:error>`)
    await back.receives(`<resumed xmlns="${sm}" previd="${token}" h="0"/>`, heard('m1', juliet), asked)
    await juliet.sends(says('m2'))
    await back.receives(heard('m2', juliet))
  },
)

conversation(
  'RFC 7395 §3.3.3: a session that is resumed over the other transport goes on in the form of that one',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    const phone = await scene.comesOnline(`${romeo}/phone`)
    const token = await enables(phone)
    await phone.vanishes()
    await juliet.sends(says('m1'))
    const lines = await openLines('websocket', scene.server.accept, socketListeners(scene.clock))
    const visit = async (): Promise<Actor> => new Actor(await lines.open(), scene.domain, scene.settle)
    const web = await resumes({ ...scene, visit }, phone.jid, token, 0)
    await web.receives(`<resumed xmlns="${sm}" previd="${token}" h="0"/>`, late('m1', juliet), asked)
    await juliet.sends(says('m2'))
    await web.receives(heard('m2', juliet))
    await web.vanishes()
    const again = await resumes({ ...scene, visit }, phone.jid, token, 1)
    await again.receives(`<resumed xmlns="${sm}" previd="${token}" h="0"/>`, heard('m2', juliet), asked)
    await again.vanishes()
    const back = await resumes(scene, phone.jid, token, 1)
    await back.receives(`<resumed xmlns="${sm}" previd="${token}" h="0"/>`, heard('m2', juliet), asked)
    await lines.close()
  },
)

conversation('XEP-0198 §5: an unknown or foreign session cannot be resumed, and binding goes on', { modules }, async (scene) => {
  const phone = await scene.comesOnline(`${romeo}/phone`)
  const token = await enables(phone)
  await scene.createAccount('juliet@verona.example')
  const thief = await resumes(scene, 'juliet@verona.example/thief', token, 0)
  const failed = `<failed xmlns="${sm}"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`
  await thief.receives(failed)
  await thief.sends(`<resume xmlns="${sm}" previd="none" h="0"/>`)
  await thief.receives(failed)
  await thief.binds('balcony')
  await phone.receivesNothing()
})

conversation(
  'XEP-0198 §5: after the time-out the session is over, the failure says its last h, and nothing was lost',
  { modules },
  async (scene) => {
    const { comesOnline, befriend, clock } = scene
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const phone = await comesOnline(`${romeo}/phone`)
    await befriend(juliet, phone)
    const token = await enables(phone)
    await phone.sends(says('q1', juliet.jid))
    await juliet.ignores()
    await phone.vanishes()
    await juliet.sends(says('m1'))
    clock.advance('299s')
    await juliet.receivesNothing()
    clock.advance('2s')
    await juliet.receives(xml`<presence type="unavailable" from="${phone.jid}" to="${juliet.bareJid}"/>`)
    const back = await resumes(scene, phone.jid, token, 0)
    await back.receives(`<failed xmlns="${sm}" h="1"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`)
    await back.binds('phone')
    await back.sends('<presence/>')
    await back.receivesInAnyOrder(
      xml`<presence from="${juliet.jid}" to="${any}"/>`,
      xml`<presence from="${back.jid}" to="${any}"/>`,
      late('m1', juliet),
    )
    await back.receivesNothing()
  },
)

conversation('XEP-0198 §5: an h that is too high cannot be resumed with', { modules }, async (scene) => {
  const phone = await scene.comesOnline(`${romeo}/phone`)
  const token = await enables(phone)
  await phone.vanishes()
  const back = await resumes(scene, phone.jid, token, 5)
  await back.receives(xml`<stream:error xmlns:stream="http://etherx.jabber.org/streams"><undefined-condition xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>
    <text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">${any}</text><handled-count-too-high xmlns="${sm}" h="5" send-count="0"/></stream:error>`)
})

conversation('XEP-0198 §5: carbons stay on after resuming', { modules }, async (scene) => {
  const { comesOnline } = scene
  const phone = await comesOnline(`${romeo}/phone`)
  await phone.sends('<iq type="set" id="c1"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
  const desk = await comesOnline(`${romeo}/desk`)
  await phone.ignores()
  const token = await enables(phone)
  await phone.vanishes()
  const back = await resumes(scene, phone.jid, token, 0)
  await back.receives(`<resumed xmlns="${sm}" previd="${token}" h="0"/>`)
  await desk.sends(says('m1', 'juliet@verona.example'))
  await back.receivesNothing()
  await scene.createAccount('juliet@verona.example')
  scene.clock.advance('10s')
  await desk.sends(says('m2', 'juliet@verona.example'))
  const copy = await back.next()
  if (copy.getChild('sent', 'urn:xmpp:carbons:2') === undefined) throw new Error('no copy')
})

conversation(
  'COMPAT(@xmpp/client): an h that counts what came before <enabled/> is understood',
  { modules },
  async ({ comesOnline, connect }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const bot = await connect(`${romeo}/bot`)
    await bot.sends('<presence/>')
    await bot.ignores()
    await enables(bot)
    await juliet.sends(says('m1') + says('m2'))
    await bot.receives(heard('m1', juliet), asked, heard('m2', juliet))
    await bot.sends(acks(2))
    await bot.sends(acks(3))
    await juliet.sends(says('m3'))
    await bot.receives(heard('m3', juliet), asked)
    await bot.sends(acks(4))
    await bot.receivesNothing()
  },
)

conversation(
  'COMPAT(@xmpp/client): a count that begins anew at <enabled/> is no error, and acknowledges rightly from there',
  { modules },
  async ({ comesOnline, connect }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const bot = await connect(`${romeo}/bot`)
    await bot.sends('<presence/>')
    await bot.ignores()
    await enables(bot)
    await juliet.sends(says('m1'))
    await bot.receives(heard('m1', juliet), asked)
    await bot.sends(acks(2))
    await juliet.sends(says('m2'))
    await bot.receives(heard('m2', juliet), asked)
    await bot.sends(acks(1))
    await juliet.sends(says('m3'))
    await bot.receives(heard('m3', juliet), asked)
    await bot.sends(acks(3))
    await bot.receivesNothing()
    await bot.leaves()
    const again = await connect(`${romeo}/bot`)
    await again.sends('<presence/>')
    await again.receives(xml`<presence from="${again.jid}" to="${any}"/>`)
    await again.receivesNothing()
  },
)

conversation('XEP-0198 §4: who acknowledges nothing new is not asked again at once', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const phone = await comesOnline(`${romeo}/phone`)
  await enables(phone)
  await juliet.sends(says('m1'))
  await phone.receives(heard('m1', juliet), asked)
  await phone.sends(acks(0))
  await phone.receivesNothing()
  await juliet.sends(says('m2'))
  await phone.receives(heard('m2', juliet), asked)
})

conversation(
  'DESIGN P2: what was stored and is sent again after a failed resume is acknowledged, and delivered once',
  { modules },
  async (scene) => {
    const { comesOnline } = scene
    const phone = await comesOnline(`${romeo}/phone`)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await enables(juliet)
    await juliet.sends(says('m1') + says('m2'))
    await phone.receives(heard('m1', juliet), heard('m2', juliet))
    await juliet.vanishes()
    const back = await resumes(scene, juliet.jid, 'lost-with-the-server', 0)
    await back.receives(`<failed xmlns="${sm}"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`)
    await back.binds('window')
    await back.sends(`<enable xmlns="${sm}"/>`)
    await back.receives(`<enabled xmlns="${sm}"/>`)
    const otherWords = xml`<message type="chat" to="${romeo}" id="m2"><body>other words</body></message>`
    await back.sends(says('m2') + says('m3') + otherWords + asked)
    await back.receives(acks(3))
    await phone.receives(
      heard('m3', back),
      xml`<message type="chat" from="${back.jid}" to="${romeo}" id="m2"><body>other words</body><stanza-id xmlns="urn:xmpp:sid:0" by="${romeo}" id="${any}"/></message>`,
    )
    await phone.receivesNothing()
    scene.clock.advance('2m')
    await back.sends(says('m2'))
    await phone.receives(heard('m2', back))
  },
)
