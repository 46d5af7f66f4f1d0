import { expect } from 'vitest'
import { carbons } from '#server/modules/carbons.ts'
import { csi } from '#server/modules/csi.ts'
import { mam } from '#server/modules/mam.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { byPassword, logsInQuickly, PHONE, wantsBinding } from '#server/testing/quick-client.ts'
import type { Element } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { NS_CARBONS, NS_CLIENT, NS_FORWARD, NS_STANZA_ID } from '#stanzas/namespaces.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { logIdToText } from '#stanzas/stanza-id.ts'
import { StorageError } from '#storage/storage-error.ts'

/**
 * DESIGN P2, one conversation for each path on which a message could come twice: every device of the recipient has it once, under the one id
 * that its account's archive knows it by, and the archives of both have it once.
 */
const memory = { modules: [presence, offline, carbons, csi, mam], carriers: ['memory'] } as const
const everywhere = { modules: [presence, offline, carbons, csi, mam] } as const

const JULIET = 'juliet@verona.example'
const ROMEO = 'romeo@verona.example'
const SM = 'urn:xmpp:sm:3'
const NS_MAM = 'urn:xmpp:mam:2'
const READ_ARCHIVE = xml`<iq type="set" id="archive"><query xmlns="${NS_MAM}"/></iq>`
const REQUEST = `<r xmlns="${SM}"/>`
const COUNT = (h: number): string => `<a xmlns="${SM}" h="${h}"/>`

/** A message as it is sent. */
const says = (id: string, to: string = ROMEO, body = id): string =>
  xml`<message type="chat" to="${to}" id="${id}"><body>${body}</body></message>`

const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${SM}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

const wantsCopies = async (actor: Actor): Promise<void> => {
  await actor.sends(xml`<iq type="set" id="copies"><enable xmlns="${NS_CARBONS}"/></iq>`)
  await actor.receives(xml`<iq type="result" id="copies" from="${actor.bareJid}" to="${actor.jid}"/>`)
}

/** Logs in on a new connection, and binds nothing. */
const returns = async ({ visit }: Scene, account: string): Promise<Actor> => {
  const actor = await visit()
  await actor.logsIn(account.split('@')[0] ?? '', 'secret')
  return actor
}

const resumes = async (scene: Scene, jid: string, token: string, h: number): Promise<Actor> => {
  const actor = await returns(scene, jid)
  await actor.sends(`<resume xmlns="${SM}" previd="${token}" h="${h}"/>`)
  actor.is(jid)
  return actor
}

const isResumed = async (actor: Actor): Promise<void> => {
  expect((await actor.next()).name).toBe('resumed')
}
const isNotResumed = async (actor: Actor): Promise<void> => {
  expect((await actor.next()).name).toBe('failed')
}

const comesAsBefore = async (actor: Actor, resource: string, stanza = '<presence/>'): Promise<void> => {
  await actor.binds(resource)
  await actor.sends(stanza)
}

/** A message that came, be it in a copy or out of the archive: its id, and the one that the account's archive has given it. */
const heardIn = (element: Element, by: string): string[] => {
  const result = element.getChild('result', NS_MAM)
  const shown = result?.getChild('forwarded', NS_FORWARD)?.getChild('message', NS_CLIENT)
  if (shown !== undefined) return [`${shown.attrs.id} ${result?.attrs.id}`]
  const copy = element.getChild('received', NS_CARBONS) ?? element.getChild('sent', NS_CARBONS)
  const message = copy?.getChild('forwarded', NS_FORWARD)?.getChild('message', NS_CLIENT) ?? element
  if (message.name !== 'message') return []
  const ids = message
    .getChildren()
    .filter(({ name, ns, attrs }) => name === 'stanza-id' && ns === NS_STANZA_ID && attrs.by === by)
  return [`${message.attrs.id} ${ids.map(({ attrs }) => attrs.id).join('+')}`]
}

/** What the account's archive has, oldest first, in the same words. */
const kept = async ({ driver }: Scene, account: string): Promise<string[]> => {
  await driver.check()
  const entries = await driver.log.range(account as BareJid, { limit: 100 })
  return entries.map(({ id, stanza }) => `${parseStanza(stanza).id} ${logIdToText(id)}`)
}

/** Every one of these has had these messages, each once, in this order, with the ids of the archive, and nothing waits any more. */
const haveOnce = async (
  scene: Scene,
  ids: readonly string[],
  ...devices: readonly (Actor | readonly Actor[])[]
): Promise<void> => {
  const archive = await kept(scene, ROMEO)
  expect(archive.map((text) => text.split(' ')[0])).toEqual(ids)
  for (const device of devices) {
    const heard: string[] = []
    for (const actor of Array.isArray(device) ? device : [device])
      heard.push(...(await actor.collects()).flatMap((element: Element) => heardIn(element, ROMEO)))
    expect(heard).toEqual(archive)
  }
  expect(await scene.server.ledger.countPending(ROMEO as BareJid)).toBe(0)
}

/** The sender's archive has them once, under the same ids. */
const sentOnce = async (scene: Scene): Promise<void> => {
  expect(await kept(scene, JULIET)).toEqual(await kept(scene, ROMEO))
}

/** Juliet, and Romeo's devices, who have read what there was. */
const stage = async (scene: Scene, ...resources: readonly string[]): Promise<[Actor, ...Actor[]]> => {
  await scene.createAccount(ROMEO)
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const devices: Actor[] = []
  for (const resource of resources) devices.push(await scene.comesOnline(`${ROMEO}/${resource}`))
  for (const device of devices) await device.ignores()
  return [juliet, ...devices]
}
const pair = async (scene: Scene): Promise<readonly [Actor, Actor]> => {
  const [juliet, phone] = await stage(scene, 'phone')
  if (phone === undefined) throw new Error('no phone')
  return [juliet, phone]
}
const three = async (scene: Scene): Promise<readonly [Actor, Actor, Actor]> => {
  const [juliet, phone, desk] = await stage(scene, 'phone', 'desk')
  if (phone === undefined || desk === undefined) throw new Error('no devices')
  return [juliet, phone, desk]
}

// ---- the sender sends again

conversation('DESIGN P2: resume failed with a count, and all is sent again', everywhere, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const token = await enables(juliet)
  await juliet.sends(says('m1') + says('m2'))
  await juliet.vanishes()
  scene.clock.advance('301s')
  const back = await resumes(scene, juliet.jid, token, 0)
  await back.receives(`<failed xmlns="${SM}" h="2"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>`)
  await comesAsBefore(back, 'window')
  await back.sends(says('m1') + says('m2') + says('m3'))
  await haveOnce(scene, ['m1', 'm2', 'm3'], phone)
  await sentOnce(scene)
})

conversation(
  'DESIGN P2: resume failed since nobody knows the session, and all is sent again and counted',
  everywhere,
  async (scene) => {
    const [juliet, phone] = await pair(scene)
    await enables(juliet)
    await juliet.sends(says('m1') + says('m2'))
    await juliet.vanishes()
    const back = await resumes(scene, juliet.jid, 'lost', 0)
    await isNotResumed(back)
    await comesAsBefore(back, 'window')
    await back.ignores()
    await enables(back)
    await back.sends(says('m1') + says('m2') + REQUEST)
    await back.receives(COUNT(2))
    await haveOnce(scene, ['m1', 'm2'], phone)
    await sentOnce(scene)
  },
)

conversation(
  'DESIGN P2: the first copy waits for the disk while it is sent again after a failed resume',
  { ...memory, nodes: 1 },
  async (scene) => {
    const [juliet, phone] = await pair(scene)
    await enables(juliet)
    const back = await returns(scene, JULIET)
    scene.driver.hold()
    await juliet.sends(says('m1') + says('m2'))
    await juliet.vanishes()
    await back.sends(`<resume xmlns="${SM}" previd="lost" h="0"/>`)
    await isNotResumed(back)
    await back.binds('window')
    await back.sends(`<enable xmlns="${SM}"/>${says('m1')}${says('m2')}${REQUEST}`)
    await back.receives(`<enabled xmlns="${SM}"/>`)
    await back.receivesNothing()
    scene.driver.release()
    await back.receives(COUNT(2))
    await haveOnce(scene, ['m1', 'm2'], phone)
    await sentOnce(scene)
  },
)

conversation(
  'DESIGN P2: a client without XEP-0198 loses its connection, binds its resource again, and sends again',
  everywhere,
  async (scene) => {
    const [juliet, phone] = await pair(scene)
    await juliet.sends(says('m1') + says('m2'))
    await juliet.vanishes()
    const back = await scene.connect(juliet.jid)
    await back.sends(says('m1') + says('m2') + says('m3'))
    await haveOnce(scene, ['m1', 'm2', 'm3'], phone)
    await sentOnce(scene)
  },
)

conversation('DESIGN P2: the same with another resource, within a minute of the loss', everywhere, async (scene) => {
  const [juliet, phone] = await pair(scene)
  await juliet.sends(says('m1') + says('m2'))
  await juliet.vanishes()
  scene.clock.advance('59s')
  const back = await scene.connect(`${JULIET}/window`)
  await back.sends(says('m1') + says('m2') + says('m3'))
  await haveOnce(scene, ['m1', 'm2', 'm3'], phone)
})

conversation(
  'DESIGN P2: the same while its old connection still looks alive, long after it fell silent',
  everywhere,
  async (scene) => {
    const [juliet, phone] = await pair(scene)
    await juliet.sends(says('m1') + says('m2'))
    for (let n = 0; n < 36; n++) scene.clock.advance('5s')
    const back = await scene.connect(juliet.jid)
    await back.sends(says('m1') + says('m2'))
    await haveOnce(scene, ['m1', 'm2'], phone)
  },
)

conversation('DESIGN P2: the same when it loses its connection again while it sends again', everywhere, async (scene) => {
  const [juliet, phone] = await pair(scene)
  await juliet.sends(says('m1') + says('m2'))
  await juliet.vanishes()
  scene.clock.advance('40s')
  const back = await scene.connect(juliet.jid)
  await back.sends(says('m1'))
  scene.clock.advance('40s')
  await back.vanishes()
  const again = await scene.connect(juliet.jid)
  await again.sends(says('m1') + says('m2'))
  await haveOnce(scene, ['m1', 'm2'], phone)
})

for (const resource of ['balcony', 'window'])
  conversation(`DESIGN P2: the same while the first copy waits for the disk (${resource})`, memory, async (scene) => {
    const [juliet, phone] = await pair(scene)
    const back = await returns(scene, JULIET)
    scene.driver.hold()
    // Whether there is such an account is being looked up, and what is behind it has not even come to the ledger.
    await juliet.sends(says('m0', 'nobody@verona.example') + says('m1') + says('m2'))
    await juliet.vanishes()
    await back.binds(resource)
    await back.sends(says('m1') + says('m2') + says('m3'))
    scene.driver.release()
    await scene.settle()
    await haveOnce(scene, ['m1', 'm2', 'm3'], phone)
    await sentOnce(scene)
  })

conversation('DESIGN P2: what is sent again waits for the disk for longer than it is looked for', memory, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const back = await returns(scene, JULIET)
  scene.driver.hold()
  await juliet.sends(says('m1'))
  await juliet.vanishes()
  await back.binds('balcony')
  await back.sends(says('m1'))
  scene.clock.advance('61s')
  scene.driver.release()
  await scene.settle()
  await haveOnce(scene, ['m1'], phone)
})

conversation('DESIGN P2: a resumption is refused, and its stream lost before a resource is bound', memory, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const token = await enables(juliet)
  await juliet.sends(says('m1'))
  await juliet.vanishes()
  scene.clock.advance('10m')
  const refused = await resumes(scene, juliet.jid, token, 0)
  await isNotResumed(refused)
  await refused.vanishes()
  const back = await scene.connect(`${JULIET}/window`)
  await back.sends(says('m1'))
  await haveOnce(scene, ['m1'], phone)
})

conversation('DESIGN P2: a message that the disk refused is stored when it is sent again', memory, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const back = await returns(scene, JULIET)
  scene.driver.hold()
  scene.driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  await juliet.sends(says('m1'))
  await juliet.vanishes()
  await back.binds('balcony')
  await back.sends(says('m1'))
  scene.driver.release()
  await scene.settle()
  await haveOnce(scene, ['m1'], phone)
})

conversation(
  'DESIGN P2: what is sent again may tell its delay, and be encrypted anew, under its origin-id',
  memory,
  async (scene) => {
    const [juliet, phone] = await pair(scene)
    const origin = '<origin-id xmlns="urn:xmpp:sid:0" id="de305d54-75b4-431b-adb2-eb6b9e546013"/>'
    const text = (id: string, extra: string): string => xml`<message type="chat" to="${ROMEO}" id="${id}">${extra}</message>`
    await juliet.sends(text('m1', `<body>one</body>${origin}`) + text('m2', '<body>two</body>'))
    await juliet.vanishes()
    const back = await scene.connect(juliet.jid)
    const delay = xml`<delay xmlns="urn:xmpp:delay" from="${juliet.jid}" stamp="2026-01-01T00:00:00Z"/>`
    await back.sends(text('m1b', `<body>eno</body>${delay}${origin}`) + text('m2', `<body>two</body>${delay}`))
    await haveOnce(scene, ['m1', 'm2'], phone)
  },
)

conversation('DESIGN P2: a message to oneself is sent again', memory, async (scene) => {
  const [juliet, phone, desk] = await three(scene)
  await juliet.leaves()
  await phone.sends(says('m1'))
  await phone.vanishes()
  const back = await scene.connect(phone.jid)
  await back.sends(says('m1'))
  await haveOnce(scene, ['m1'], desk)
})

for (const [what, ledger] of [
  ['is removed once it is delivered', { retention: 'until-delivered' }],
  ['is written after it is delivered, and removed', { mode: 'relaxed', retention: 'until-delivered' }],
] as const)
  for (const isThere of [true, false])
    conversation(
      `DESIGN P2: a message that ${what} is sent again, to somebody who is ${isThere ? 'there' : 'not'}`,
      { ...memory, config: { ledger } },
      async (scene) => {
        const [juliet] = await stage(scene)
        const phone = isThere ? await scene.comesOnline(`${ROMEO}/phone`) : undefined
        await phone?.ignores()
        const next = await returns(scene, JULIET)
        const long = 'de305d54-75b4-431b-adb2-eb6b9e546013'
        await juliet.sends(says('m1'))
        scene.clock.advance('10s')
        await scene.settle()
        await juliet.sends(says(long))
        await juliet.vanishes()
        await next.binds('window')
        await next.sends(says('m1') + says(long) + says('m3'))
        const there = phone ?? (await scene.connect(`${ROMEO}/phone`))
        if (phone === undefined) await there.sends('<presence/>')
        const heard = (await there.collects()).flatMap((element) => heardIn(element, ROMEO))
        expect(heard.map((text) => text.split(' ')[0])).toEqual(['m1', long, 'm3'])
      },
    )

conversation(
  'DESIGN P2: the client of a device binds another resource while its old connection still looks alive',
  memory,
  async (scene) => {
    const [, phone] = await pair(scene)
    const juliet = await scene.visit()
    await logsInQuickly(juliet, byPassword('juliet', wantsBinding('', 'Balcony'), PHONE))
    await juliet.sends(says('m1'))
    const back = await scene.visit()
    await logsInQuickly(back, byPassword('juliet', wantsBinding('', 'Window'), PHONE))
    await back.sends(says('m1') + says('m2'))
    await haveOnce(scene, ['m1', 'm2'], phone)
  },
)

// ---- the server dies

for (const isManaged of [true, false])
  conversation(
    `DESIGN P2: the server is killed between store and acknowledgement, and all is sent again (${isManaged ? 'resume fails' : 'without XEP-0198'})`,
    // A fleet resumes it.
    { ...everywhere, nodes: 1 },
    async (scene) => {
      const [juliet] = await pair(scene)
      const token = isManaged ? await enables(juliet) : ''
      scene.driver.hold()
      await juliet.sends(says('m1') + says('m2') + (isManaged ? REQUEST : ''))
      await juliet.receivesNothing()
      await scene.dies()
      const phone = await scene.connect(`${ROMEO}/phone`)
      await phone.sends('<presence/>')
      const back = isManaged ? await resumes(scene, juliet.jid, token, 0) : await returns(scene, JULIET)
      if (isManaged) await isNotResumed(back)
      await back.binds('balcony')
      if (isManaged) await enables(back)
      await back.sends(says('m1') + says('m2') + says('m3') + (isManaged ? REQUEST : ''))
      if (isManaged) await back.receives(COUNT(3))
      await haveOnce(scene, ['m1', 'm2', 'm3'], phone)
      await sentOnce(scene)
    },
  )

conversation('DESIGN P2: the server is killed before it stores, and what is sent again is stored', memory, async (scene) => {
  const [juliet] = await pair(scene)
  scene.driver.hold()
  scene.driver.failNext(new StorageError('the power is gone', { isTransient: true }))
  await juliet.sends(says('m1'))
  await scene.dies()
  const phone = await scene.comesOnline(`${ROMEO}/phone`)
  const back = await scene.connect(juliet.jid)
  await back.sends(says('m1'))
  await haveOnce(scene, ['m1'], phone)
})

conversation('DESIGN P2: the server is killed between delivery and the device’s acknowledgement', memory, async (scene) => {
  const [juliet, phone] = await pair(scene)
  await enables(phone)
  await juliet.sends(says('m1') + says('m2'))
  await phone.sends(COUNT(1))
  const before = (await phone.collects()).flatMap((element) => heardIn(element, ROMEO))
  await scene.dies()
  const back = await scene.connect(phone.jid)
  await back.sends('<presence/>')
  const after = (await back.collects()).flatMap((element) => heardIn(element, ROMEO))
  // What the device had not said it has comes again, under its id: the device knows it by that.
  expect(before).toEqual(await kept(scene, ROMEO))
  expect(after).toEqual(before.slice(1))
})

// ---- it is no resend

conversation('DESIGN P2: two devices may give two messages one id', memory, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const window = await scene.connect(`${JULIET}/window`)
  await juliet.sends(says('1', ROMEO, 'yes'))
  await window.sends(says('1', ROMEO, 'yes'))
  await haveOnce(scene, ['1', '1'], phone)
  await window.vanishes()
  const back = await scene.connect(window.jid)
  await juliet.sends(says('2', ROMEO, 'no'))
  await back.sends(says('2', ROMEO, 'no'))
  await phone.ignores()
  expect((await kept(scene, ROMEO)).length).toBe(4)
})

for (const [what, sendsAgain] of [
  ['other words under the same id', { body: 'other words' }],
  ['the same words under another id', { id: 'm2' }],
  ['the same words to somebody else', { to: 'nurse@verona.example' }],
  ['the same after the client had closed its stream', { leaves: true }],
  ['the same a minute after the loss, on another resource', { waitsBefore: '61s', resource: 'window' }],
  ['the same in a stream that has lasted for more than a minute', { waitsAfter: '61s' }],
  ['the same twice on one stream', { repeats: true }],
] as const)
  conversation(`DESIGN P2: ${what} is a message of its own`, memory, async (scene) => {
    const way: Partial<
      Record<'body' | 'id' | 'to' | 'waitsBefore' | 'waitsAfter' | 'resource', string> & Record<'leaves' | 'repeats', boolean>
    > = sendsAgain
    const [juliet] = await pair(scene)
    await scene.createAccount('nurse@verona.example')
    await juliet.sends(says('m1'))
    if (way.repeats !== true) {
      if (way.leaves === true) await juliet.leaves()
      else await juliet.vanishes()
    }
    if (way.waitsBefore !== undefined) scene.clock.advance(way.waitsBefore)
    const back = way.repeats === true ? juliet : await scene.connect(`${JULIET}/${way.resource ?? 'balcony'}`)
    if (way.waitsAfter !== undefined) scene.clock.advance(way.waitsAfter)
    await back.sends(says(way.id ?? 'm1', way.to ?? ROMEO, way.body ?? 'm1'))
    expect((await kept(scene, JULIET)).length).toBe(2)
  })

// ---- a device goes

conversation('DESIGN P2: a device is lost between delivery and its acknowledgement, and resumes', everywhere, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const token = await enables(phone)
  await juliet.sends(says('m1') + says('m2'))
  await phone.ignores()
  await phone.vanishes()
  await juliet.sends(says('m3'))
  const back = await resumes(scene, phone.jid, token, 1)
  await isResumed(back)
  const again = (await back.collects()).flatMap((element) => heardIn(element, ROMEO))
  expect(again).toEqual((await kept(scene, ROMEO)).slice(1))
  await back.sends(COUNT(3))
  await haveOnce(scene, ['m1', 'm2', 'm3'])
})

conversation(
  'DESIGN P2: a device is lost between delivery and its acknowledgement, and binds anew',
  everywhere,
  async (scene) => {
    const [juliet, phone] = await pair(scene)
    await enables(phone)
    await juliet.sends(says('m1') + says('m2'))
    await phone.sends(COUNT(1))
    await phone.ignores()
    await phone.vanishes()
    const back = await scene.connect(phone.jid)
    await back.sends('<presence/>')
    const again = (await back.collects()).flatMap((element) => heardIn(element, ROMEO))
    expect(again).toEqual((await kept(scene, ROMEO)).slice(1))
    await haveOnce(scene, ['m1', 'm2'])
  },
)

conversation('DESIGN P2: a session is resumed while its old stream still looks alive', everywhere, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const token = await enables(phone)
  await juliet.sends(says('m1') + says('m2'))
  await phone.sends(COUNT(1))
  await phone.ignores()
  const back = await resumes(scene, phone.jid, token, 2)
  await isResumed(back)
  await juliet.sends(says('m3'))
  const heard = (await back.collects()).flatMap((element) => heardIn(element, ROMEO))
  expect(heard).toEqual((await kept(scene, ROMEO)).slice(2))
  await back.sends(COUNT(3))
  await haveOnce(scene, ['m1', 'm2', 'm3'])
})

conversation('DESIGN P2: a resource is bound again while its old session has not acknowledged', everywhere, async (scene) => {
  const [juliet, phone, desk] = await three(scene)
  await enables(phone)
  await juliet.sends(says('m1') + says('m2', phone.jid))
  await phone.sends(COUNT(1))
  await phone.ignores()
  const back = await scene.connect(phone.jid)
  await back.sends('<presence/>')
  const again = (await back.collects()).flatMap((element) => heardIn(element, ROMEO))
  const heard = (await desk.collects()).flatMap((element) => heardIn(element, ROMEO))
  const archive = await kept(scene, ROMEO)
  expect(again).toEqual(archive.slice(1))
  // m2 was for the phone alone, and is the phone's.
  expect(heard).toEqual(archive.slice(0, 1))
  await haveOnce(scene, ['m1', 'm2'])
})

conversation('DESIGN P2: of two devices one dies amid a delivery', everywhere, async (scene) => {
  const [juliet, phone, desk] = await three(scene)
  await enables(phone)
  await juliet.sends(says('m1'))
  await phone.vanishes()
  await juliet.sends(says('m2'))
  scene.clock.advance('301s')
  await juliet.sends(says('m3'))
  await haveOnce(scene, ['m1', 'm2', 'm3'], desk)
})

conversation('DESIGN P2: both devices are away, one comes and takes, the other comes', everywhere, async (scene) => {
  const [juliet] = await stage(scene)
  await juliet.sends(says('m1') + says('m2'))
  const phone = await scene.connect(`${ROMEO}/phone`)
  await phone.sends('<presence/>')
  await haveOnce(scene, ['m1', 'm2'], phone)
  const desk = await scene.comesOnline(`${ROMEO}/desk`, '')
  await desk.sends('<presence/>')
  expect((await desk.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
  await phone.sends('<presence type="unavailable"/>')
  await phone.sends('<presence/>')
  expect((await phone.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
})

conversation(
  'DESIGN P2: a priority rises from below zero after messages have waited, and falls, and rises',
  everywhere,
  async (scene) => {
    const [juliet] = await stage(scene)
    const phone = await scene.comesOnline(`${ROMEO}/phone`, '<presence><priority>-1</priority></presence>')
    await juliet.sends(says('m1') + says('m2'))
    expect((await phone.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
    await phone.sends('<presence/>')
    await phone.sends('<presence><priority>-1</priority></presence>')
    await phone.sends('<presence><priority>5</priority></presence>')
    await juliet.sends(says('m3'))
    await haveOnce(scene, ['m1', 'm2', 'm3'], phone)
  },
)

conversation(
  'DESIGN P2: a message goes to the full JID of a resource that went away, and comes back',
  everywhere,
  async (scene) => {
    const [juliet, phone, desk] = await three(scene)
    await phone.leaves()
    await desk.ignores()
    await juliet.sends(says('m1', phone.jid))
    await haveOnce(scene, ['m1'], desk)
    const back = await scene.connect(phone.jid)
    await back.sends('<presence/>')
    expect((await back.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
  },
)

conversation(
  'DESIGN P2: a message that waited for a full JID whose session ends goes to one device, once',
  everywhere,
  async (scene) => {
    const [juliet, phone, desk] = await three(scene)
    await enables(phone)
    await phone.vanishes()
    await juliet.sends(says('m1', phone.jid))
    scene.clock.advance('301s')
    await haveOnce(scene, ['m1'], desk)
    const back = await scene.connect(phone.jid)
    await back.sends('<presence/>')
    expect((await back.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
  },
)

conversation('DESIGN P2: the session of a client that holds stanzas back dies', everywhere, async (scene) => {
  const [juliet, phone] = await pair(scene)
  const token = await enables(phone)
  await phone.sends('<inactive xmlns="urn:xmpp:csi:0"/>')
  const typing = xml`<message type="chat" to="${ROMEO}" id="t"><composing xmlns="http://jabber.org/protocol/chatstates"/></message>`
  await juliet.sends(typing + says('m1') + typing)
  await phone.vanishes()
  await juliet.sends(says('m2'))
  const back = await resumes(scene, phone.jid, token, 2)
  await isResumed(back)
  const heard = (await back.collects()).flatMap((element) => heardIn(element, ROMEO)).filter((text) => text !== 't ')
  expect(heard).toEqual((await kept(scene, ROMEO)).slice(1))
  await back.sends('<inactive xmlns="urn:xmpp:csi:0"/>')
  await back.vanishes()
  scene.clock.advance('301s')
  const last = await scene.connect(phone.jid)
  await last.sends('<presence/>')
  expect((await last.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual((await kept(scene, ROMEO)).slice(1))
})

// ---- copies and the archive

conversation('DESIGN P2: the live copy, the copy for other devices and both archives know one id', everywhere, async (scene) => {
  const [juliet, phone, desk] = await three(scene)
  const window = await scene.comesOnline(`${JULIET}/window`)
  await juliet.ignores()
  for (const actor of [phone, desk, juliet, window]) await wantsCopies(actor)
  await juliet.sends(says('m1', phone.jid) + says('m2'))
  const sent = (await window.collects()).flatMap((element) => heardIn(element, JULIET))
  expect(sent).toEqual(await kept(scene, JULIET))
  await haveOnce(scene, ['m1', 'm2'], phone, desk)
  await sentOnce(scene)
})

conversation(
  'DESIGN P2: what waited is read in the archive and acknowledged, and does not come by itself',
  everywhere,
  async (scene) => {
    const [juliet] = await stage(scene)
    await juliet.sends(says('m1') + says('m2'))
    const phone = await scene.connect(`${ROMEO}/phone`)
    await enables(phone)
    await phone.sends(READ_ARCHIVE)
    const heard = (await phone.collects()).flatMap((element) => heardIn(element, ROMEO))
    expect(heard).toEqual(await kept(scene, ROMEO))
    await phone.sends(`${COUNT(3)}<presence/>`)
    expect((await phone.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
    const desk = await scene.connect(`${ROMEO}/desk`)
    await desk.sends('<presence/>')
    expect((await desk.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual([])
    await haveOnce(scene, ['m1', 'm2'])
  },
)

conversation(
  'DESIGN P2: both archives know what was delivered, copied and sent again by one id, and once',
  everywhere,
  async (scene) => {
    const [juliet, phone, desk] = await three(scene)
    for (const actor of [phone, desk]) await wantsCopies(actor)
    await juliet.sends(says('m1', phone.jid) + says('m2'))
    await juliet.vanishes()
    const back = await scene.connect(juliet.jid)
    await back.sends(says('m1', phone.jid) + says('m2') + says('m3', phone.jid))
    await haveOnce(scene, ['m1', 'm2', 'm3'], phone, desk)
    for (const [actor, account] of [
      [desk, ROMEO],
      [back, JULIET],
    ] as const) {
      await actor.ignores()
      await actor.sends(READ_ARCHIVE)
      expect((await actor.collects()).flatMap((element) => heardIn(element, account))).toEqual(await kept(scene, account))
    }
    await sentOnce(scene)
  },
)

conversation(
  'DESIGN P2: a device that had the copy of a message does not get the message when its addressee dies',
  everywhere,
  async (scene) => {
    const [juliet, phone, desk] = await three(scene)
    await wantsCopies(desk)
    await enables(phone)
    await juliet.sends(says('m1', phone.jid))
    await phone.vanishes()
    scene.clock.advance('301s')
    await haveOnce(scene, ['m1'], desk)
  },
)

conversation('DESIGN P2: a message to oneself reaches each device once, with copies switched on', everywhere, async (scene) => {
  const [juliet, phone, desk] = await three(scene)
  await juliet.leaves()
  for (const actor of [phone, desk]) await wantsCopies(actor)
  await phone.sends(says('m1'))
  await phone.sends(says('m2', desk.jid))
  const heard = (await desk.collects()).flatMap((element) => heardIn(element, ROMEO))
  const archive = await kept(scene, ROMEO)
  expect(archive.length).toBe(2)
  expect(heard).toEqual(archive)
  // RFC 6121 §8.5.2.1.1: the device that sent it is one of the account's.
  expect((await phone.collects()).flatMap((element) => heardIn(element, ROMEO))).toEqual(archive.slice(0, 1))
  await haveOnce(scene, ['m1', 'm2'])
})
