import { expect } from 'vitest'
import { conversation, xml } from '#server/testing/conversation.ts'
/**
 * DESIGN P2, one conversation for each path on which a message could come twice: every device of the recipient has it once, under the one id
 * that its account's archive knows it by, and the archives of both have it once.
 */
import {
  COUNT,
  comesAsBefore,
  enables,
  everywhere,
  haveOnce,
  heardIn,
  isNotResumed,
  JULIET,
  kept,
  memory,
  pair,
  REQUEST,
  ROMEO,
  resumes,
  returns,
  SM,
  says,
  sentOnce,
  stage,
  three,
} from '#server/testing/once-stage.ts'
import { byPassword, logsInQuickly, PHONE, wantsBinding } from '#server/testing/quick-client.ts'
import { StorageError } from '#storage/storage-error.ts'

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
