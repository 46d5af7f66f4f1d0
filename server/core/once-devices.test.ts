import { expect } from 'vitest'
import { conversation, xml } from '#server/testing/conversation.ts'
/**
 * DESIGN P2, one conversation for each path on which a message could come twice: every device of the recipient has it once, under the one id
 * that its account's archive knows it by, and the archives of both have it once.
 */
import {
  COUNT,
  enables,
  everywhere,
  haveOnce,
  heardIn,
  isResumed,
  JULIET,
  kept,
  pair,
  READ_ARCHIVE,
  ROMEO,
  resumes,
  says,
  sentOnce,
  stage,
  three,
  wantsCopies,
} from '#server/testing/once-stage.ts'

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
