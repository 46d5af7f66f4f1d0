import { expect, test } from 'vitest'
import { recordingLog } from '#server/base/log.ts'
import { type Actor, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { wire } from '#stanzas/wire.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import type { LogPlace } from '#storage/shapes.ts'
import { StorageError } from '#storage/storage-error.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { presence } from '../presence.ts'
import { type Ending, Endings, timerOf } from './ephemeral.ts'

const options = { modules: [presence, offline, mam], carriers: ['memory'] as const }
const NS = 'urn:xmpp:mam:2'
const ROMEO = 'romeo@verona.example' as BareJid
const JULIET = 'juliet@verona.example' as BareJid
const eph = (timer: string) => `<ephemeral xmlns="urn:xmpp:ephemeral:0" timer="${timer}"/>`
const says = (actor: Actor, to: string, id: string, content = ''): Promise<void> =>
  actor.sends(xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body>${content}</message>`)

/** What is in the actor's archive: the texts, and `id…` for what has no text any more. */
const archiveOf = async (actor: Actor): Promise<readonly string[]> => {
  await actor.ignores()
  await actor.sends(xml`<iq type="set" id="q"><query xmlns="${NS}"/></iq>`)
  const results = (await actor.collects()).slice(0, -1)
  return results.map((each) => {
    const message = each.getChild('result', NS)?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('message', 'jabber:client')
    return message?.getChildText('body') ?? `${message?.attrs.id}…`
  })
}
const passes = async ({ clock, settle }: Scene, time: string): Promise<void> => {
  clock.advance(time)
  await settle()
}

conversation(
  'XEP-0466 §3.2: what a device has had loses its content when its time is over, on both sides, and keeps its place',
  options,
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    await says(romeo, JULIET, 'm1', eph('60'))
    await says(romeo, JULIET, 'm2', eph('30'))
    await says(romeo, JULIET, 'm3')
    for (const [time, left] of [
      ['29s', ['m1', 'm2', 'm3']],
      ['1s', ['m1', 'm2…', 'm3']],
      ['29s', ['m1', 'm2…', 'm3']],
      ['1s', ['m1…', 'm2…', 'm3']],
    ] as const) {
      await passes(scene, time)
      for (const actor of [juliet, romeo]) expect(await archiveOf(actor), time).toEqual(left)
    }
  },
)

conversation('XEP-0466 §3.2: what no device has taken in time is not delivered any more', options, async (scene) => {
  const romeo = await scene.connect(`${ROMEO}/orchard`)
  await scene.createAccount(JULIET)
  await says(romeo, JULIET, 'm1', eph('60'))
  await says(romeo, JULIET, 'm2')
  await passes(scene, '60s')
  expect(await scene.server.ledger.countPending(JULIET)).toBe(1)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  await juliet.sends('<presence/>')
  expect((await juliet.collects()).filter(({ name }) => name === 'message').map(({ attrs }) => attrs.id)).toEqual(['m2'])
  expect(await archiveOf(juliet)).toEqual(['m2'])
  expect(await archiveOf(romeo)).toEqual(['m1…', 'm2'])
})

conversation(
  'XEP-0466 §3.2, §5: a timer that is none ends nothing, and a later message changes no earlier timer',
  options,
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    for (const timer of ['0', '-5', 'soon', '4294967296', '']) await says(romeo, JULIET, `t${timer}`, eph(timer))
    await says(romeo, JULIET, 'm1', eph('600'))
    await juliet.sends(xml`<message type="chat" to="${ROMEO}" id="n1">${eph('10')}<store xmlns="urn:xmpp:hints"/></message>`)
    await passes(scene, '1m')
    expect(await archiveOf(juliet)).toEqual(['t0', 't-5', 'tsoon', 't4294967296', 't', 'm1', 'n1…'])
  },
)

test('XEP-0466 §3.2: a timer is a number of seconds', () => {
  const timer = (text: string) => timerOf(parseStanza(wire(`<message>${eph(text)}</message>`)))
  expect([timer('1'), timer('604800'), timer('4294967295')]).toEqual([1000, 604_800_000, 4_294_967_295_000])
  for (const none of ['0', '', '1.5', '1e3', '4294967296', '99999999999']) expect(timer(none), none).toBeUndefined()
  expect(timerOf(parseStanza(wire('<message/>')))).toBeUndefined()
})

const stage = () => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const { log, entries } = recordingLog()
  const store = driver.documents<Ending>('mam/endings')
  const begins = (): Endings => {
    const endings = new Endings({ store, entries: driver.log, clock, log, isAlone: true })
    endings.start()
    return endings
  }
  const settles = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    clock,
    driver,
    store,
    entries,
    begins,
    settles,
    keeps(id: number): void {
      const place: LogPlace = { owner: JULIET, peer: ROMEO, direction: 'in', isPending: true, isTransient: false }
      driver.log.append(
        { id, atMs: clock.nowMs(), stanza: wire('<message><body>x</body></message>'), isText: true, places: [place] },
        () => undefined,
      )
    },
    async left(): Promise<number> {
      return (await driver.log.range(JULIET, { limit: 1_000 })).length
    },
    async passes(ms: number): Promise<void> {
      clock.advance(ms)
      await settles()
    },
  }
}

test('XEP-0466: timers outlive a restart, and what was over meanwhile goes at once', async () => {
  const { clock, begins, keeps, left, passes, settles } = stage()
  const first = begins()
  keeps(1)
  keeps(2)
  await first.add({ id: 1, owners: [JULIET] }, clock.nowMs() + 10_000)
  await first.add({ id: 2, owners: [JULIET] }, clock.nowMs() + 60_000)
  first.stop()
  await passes(30_000)
  expect(await left()).toBe(2)
  const second = begins()
  await passes(0)
  expect(await left()).toBe(1)
  await passes(30_000)
  expect(await left()).toBe(0)
  second.stop()
  await settles()
})

test('DESIGN P5: many that are over together go a few at a time', async () => {
  const { clock, begins, keeps, left, passes, settles, store } = stage()
  const endings = begins()
  const dueMs = clock.nowMs() + 1_000
  for (let id = 1; id <= 120; id++) {
    keeps(id)
    await endings.add({ id, owners: [JULIET] }, dueMs)
  }
  await settles()
  await passes(1_000)
  const after: number[] = [await left()]
  while ((after.at(-1) ?? 0) > 0 && after.length < 10) {
    await passes(50)
    after.push(await left())
  }
  expect(after).toEqual([70, 20, 0])
  await passes(50)
  expect(await store.list('due')).toEqual([])
  endings.stop()
})

test('XEP-0466: a timer that comes first rings first, also while another rings', async () => {
  const { clock, begins, keeps, left, passes } = stage()
  const endings = begins()
  for (const id of [1, 2, 3]) keeps(id)
  await endings.add({ id: 1, owners: [JULIET] }, clock.nowMs() + 90_000_000)
  await endings.add({ id: 2, owners: [JULIET] }, clock.nowMs() + 5_000)
  await passes(0)
  clock.advance(5_000)
  await endings.add({ id: 3, owners: [JULIET] }, clock.nowMs() + 10)
  await passes(0)
  expect(await left()).toBe(2)
  await passes(60)
  expect(await left()).toBe(1)
  await passes(90_000_000)
  await passes(90_000_000)
  expect(await left()).toBe(0)
  endings.stop()
})

test('XEP-0466: what the store refuses is tried again', async () => {
  const { clock, driver, begins, keeps, left, passes, entries } = stage()
  const endings = begins()
  keeps(1)
  await endings.add({ id: 1, owners: [JULIET] }, clock.nowMs() + 1_000)
  await passes(0)
  const { log } = driver
  const remove = log.delete.bind(log)
  log.delete = () => Promise.reject(new StorageError('no', { isTransient: true }))
  await passes(1_000)
  expect(entries.map(({ event }) => event)).toEqual(['ephemeral-not-removed'])
  log.delete = remove
  await passes(30_000)
  expect(await left()).toBe(0)
  endings.stop()
})
