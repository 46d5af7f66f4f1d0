import { expect, test } from 'vitest'
import type { BareJid } from '#stanzas/jid.ts'
import { toWire, type Wire, wire } from '#stanzas/wire.ts'
import type { LogFilter, LogPlace, LogQuery } from '../shapes.ts'
import {
  append,
  idsOf,
  jid,
  juliet,
  message,
  onStage,
  place,
  romeo,
  type Stage,
  type Subject,
  testKept,
  tybalt,
} from './subject.ts'

/** A message with text. */
const saying = (text: string): Wire => wire(`<message><body>${toWire(text)}</body></message>`)

/** Proves what the log promises beyond appending and delivering: what an archive and delivery ticks are made of. */
export const archiveContract = (subject: Subject): void => {
  transients(subject)
  takenTimes(subject)
  filters(subject)
  heavyPages(subject)
  conversations(subject)
  unread(subject)
  latecomers(subject)
  searches(subject)
  replacing(subject)
}

const transients = (subject: Subject): void =>
  onStage(subject, 'log, transient entries', (stage) => {
    const places = [place(romeo, juliet, 'out'), place(juliet, romeo, 'in', true, true)]

    test('a transient entry is there until its mark is taken off, then it is gone for its owner alone', async () => {
      const { log } = stage.driver
      for (const id of [1, 2, 3]) await append(log, message(id, { places }))
      expect(await log.get(juliet, 2)).toMatchObject({ isTransient: true, isPending: true })
      log.clearPending(juliet, 2, 9000)
      expect(await log.get(juliet, 2)).toBeUndefined()
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([1, 3])
      expect(idsOf(await log.range(juliet, { limit: 9, backwards: true }))).toEqual([3, 1])
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([1, 3])
      expect(await log.countPending(juliet)).toBe(2)
      expect(await log.count(juliet, {})).toBe(2)
      expect(await log.get(romeo, 2)).toMatchObject({ isTransient: false, stanza: '<message id="m2"/>' })
    })

    test('one that was the only place of its record takes the record along, and its id is not used again', async () => {
      const { log } = stage.driver
      await append(log, message(5, { places: [place(juliet, romeo, 'in', true, true)] }))
      log.clearPending(juliet, 5, 9000)
      log.clearPending(juliet, 5, 9001)
      expect(await log.range(juliet, { limit: 9 })).toEqual([])
      expect(await log.lastId()).toBe(5)
      await expect(append(log, message(5))).rejects.toThrow()
    })

    test('one appended, taken and looked for in one turn is gone', async () => {
      const { log } = stage.driver
      const appended = append(log, message(1, { places }))
      const before = log.range(juliet, { limit: 9 })
      log.clearPending(juliet, 1, 9000)
      const after = log.range(juliet, { limit: 9 })
      await appended
      expect(idsOf(await before)).toEqual([1])
      expect(await after).toEqual([])
    })

    testKept(subject)('what went does not come back, and what waits goes later, whenever the database is closed', async () => {
      for (const id of [1, 2, 3, 4]) await append(stage.driver.log, message(id, { places }))
      stage.driver.log.clearPending(juliet, 1, 9000)
      let { log } = await stage.reopen()
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([2, 3, 4])
      log.clearPending(juliet, 3, 9000)
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([2, 4])
      log = (await stage.reopen()).log
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([2, 4])
      expect(await log.countPending(juliet)).toBe(2)
      expect(idsOf(await log.range(romeo, { limit: 9 }))).toEqual([1, 2, 3, 4])
    })
  })

const takenTimes = (subject: Subject): void =>
  onStage(subject, 'log, times of delivery', (stage) => {
    const times = async (owner: BareJid) =>
      (await stage.driver.log.range(owner, { limit: 99 })).map(({ id, isPending, takenAtMs }) => [id, isPending, takenAtMs])

    test('an entry knows to the millisecond when its mark was taken off, and the first time counts', async () => {
      const { log } = stage.driver
      for (const id of [1, 2, 3]) await append(log, message(id))
      log.clearPending(juliet, 1, 1_760_000_000_123)
      log.clearPending(juliet, 1, 1_760_000_000_999)
      log.clearPending(juliet, 3, 0)
      expect(await times(juliet)).toEqual([
        [1, false, 1_760_000_000_123],
        [2, true, undefined],
        [3, false, 0],
      ])
      expect((await log.get(juliet, 1))?.takenAtMs).toBe(1_760_000_000_123)
    })

    test('an entry that never was pending has no such time, whoever takes its mark off', async () => {
      const { log } = stage.driver
      await append(log, message(1))
      log.clearPending(romeo, 1, 5000)
      log.clearPending(tybalt, 1, 5000)
      expect(await times(romeo)).toEqual([[1, false, undefined]])
      expect(await times(juliet)).toEqual([[1, true, undefined]])
    })

    testKept(subject)('the times live through closing and opening, however long after the message they are', async () => {
      for (let id = 1; id <= 12; id += 1) await append(stage.driver.log, message(id))
      stage.driver.log.clearPending(juliet, 2, 7002)
      await stage.reopen()
      for (const id of [12, 2, 3, 7]) stage.driver.log.clearPending(juliet, id, 8000 + id)
      for (let id = 13; id <= 30; id += 1) await append(stage.driver.log, message(id))
      await stage.driver.log.flush()
      const expected = Array.from({ length: 30 }, (_, index) => index + 1).map((id) => {
        if (id === 2) return [2, false, 7002]
        return [3, 7, 12].includes(id) ? [id, false, 8000 + id] : [id, true, undefined]
      })
      expect(await times(juliet)).toEqual(expected)
      await stage.reopen()
      expect(await times(juliet)).toEqual(expected)
    })
  })

/** Texts and receipts, in and out, archived and only to be delivered, with two peers. */
const fill = async ({ driver }: Stage): Promise<void> => {
  for (let id = 1; id <= 24; id += 1) {
    const peer = id % 8 === 0 ? tybalt : juliet
    const own: LogPlace = place(romeo, peer, id % 2 === 0 ? 'in' : 'out', false, id % 3 === 0)
    await append(driver.log, message(id, { isText: id % 4 !== 0, places: [own] }))
  }
}

const heavyPages = (subject: Subject): void =>
  onStage(subject, 'log, heavy pages', (stage) => {
    test('a page that has enough bytes may end, and loses nothing', async () => {
      const { log } = stage.driver
      const heavy = saying('x'.repeat(1_000))
      for (let id = 1; id <= 12; id++) await append(log, message(id, { stanza: heavy }))
      const all = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
      const maxBytes = heavy.length * 3
      const pages = [
        [all, await log.range(juliet, { limit: 50, maxBytes })],
        [all, await log.range(juliet, { peer: romeo, limit: 50, maxBytes })],
        [all.toReversed(), await log.range(juliet, { limit: 50, maxBytes, backwards: true })],
        [all, await log.search(juliet, 'xxxx', { limit: 50, maxBytes })],
        [all, await log.pending(juliet, { limit: 50, maxBytes })],
      ] as const
      for (const [ids, page] of pages) {
        expect(page.length).toBeGreaterThanOrEqual(3)
        expect(idsOf(page)).toEqual(ids.slice(0, page.length))
      }
      expect(await log.range(juliet, { limit: 2, maxBytes })).toHaveLength(2)
      expect(await log.pending(juliet, { limit: 1, maxBytes: 1 })).toHaveLength(1)
    })
  })

const filters = (subject: Subject): void =>
  onStage(subject, 'log, filters', (stage) => {
    const all = Array.from({ length: 24 }, (_, index) => index + 1)
    const cases: readonly (readonly [string, LogFilter, (id: number) => boolean])[] = [
      ['nothing', {}, () => true],
      ['a direction', { direction: 'in' }, (id) => id % 2 === 0],
      ['what is text', { isText: true }, (id) => id % 4 !== 0],
      ['what is none', { isText: false }, (id) => id % 4 === 0],
      ['what is archived', { isTransient: false }, (id) => id % 3 !== 0],
      ['what is not', { isTransient: true }, (id) => id % 3 === 0],
      ['a peer and a direction', { peer: juliet, direction: 'out' }, (id) => id % 8 !== 0 && id % 2 === 1],
      [
        'everything at once',
        { peer: juliet, direction: 'in', isText: true, isTransient: false, after: 2, before: 22, fromMs: 4000, untilMs: 20_000 },
        (id) => id % 8 !== 0 && id % 2 === 0 && id % 4 !== 0 && id % 3 !== 0 && id >= 4 && id <= 20,
      ],
    ]
    for (const [name, filter, isWanted] of cases) {
      test(`range and count let through what matches ${name}`, async () => {
        await fill(stage)
        const { log } = stage.driver
        const wanted = all.filter(isWanted)
        expect(idsOf(await log.range(romeo, { ...filter, limit: 99 }))).toEqual(wanted)
        expect(idsOf(await log.range(romeo, { ...filter, limit: 2, backwards: true }))).toEqual(wanted.toReversed().slice(0, 2))
        expect(await log.count(romeo, filter)).toBe(wanted.length)
        expect(await log.count(tybalt, filter)).toBe(0)
      })
    }

    test('what was deleted is not counted', async () => {
      await fill(stage)
      const { log } = stage.driver
      await log.delete(romeo, [1, 2, 8])
      expect(await log.count(romeo, {})).toBe(21)
      expect(await log.count(romeo, { peer: tybalt })).toBe(2)
      await log.deleteOwner(romeo)
      expect(await log.count(romeo, {})).toBe(0)
    })
  })

const conversations = (subject: Subject): void =>
  onStage(subject, 'log, conversations', (stage) => {
    const say = (id: number, peer: BareJid, change: { isText?: boolean; isTransient?: boolean } = {}) =>
      append(
        stage.driver.log,
        message(id, { isText: change.isText ?? true, places: [place(romeo, peer, 'in', false, change.isTransient ?? false)] }),
      )
    const list = async (page: { before?: number; limit?: number } = {}) =>
      (await stage.driver.log.conversations(romeo, { limit: 99, ...page })).map(({ peer, last }) => [peer, last])

    test('each peer is there once, by its newest text, the newest first; receipts and what is only delivered do not count', async () => {
      await say(1, juliet)
      await say(2, tybalt)
      await say(3, juliet)
      await say(4, tybalt, { isText: false })
      await say(5, tybalt, { isTransient: true })
      await say(6, jid('paris@verona.example'), { isText: false })
      expect(await list()).toEqual([
        [juliet, 3],
        [tybalt, 2],
      ])
      expect(await stage.driver.log.conversations(juliet, { limit: 9 })).toEqual([])
    })

    test('pages go on below the last of the page before', async () => {
      const peers = Array.from({ length: 9 }, (_, index) => jid(`guest${index}@verona.example`))
      for (let id = 1; id <= 27; id += 1) await say(id, peers[id % 9] ?? tybalt)
      const expected = Array.from({ length: 9 }, (_, index) => [peers[(27 - index) % 9], 27 - index])
      expect(await list({ limit: 4 })).toEqual(expected.slice(0, 4))
      expect(await list({ before: 24, limit: 4 })).toEqual(expected.slice(4, 8))
      expect(await list({ before: 20, limit: 4 })).toEqual(expected.slice(8))
      expect(await list({ limit: 0 })).toEqual([])
      await say(28, peers[0] ?? tybalt)
      expect(await list({ before: 24, limit: 99 })).toEqual(expected.slice(4))
    })

    test('a conversation goes back to what is left when its newest is deleted, and goes with its last', async () => {
      for (let id = 1; id <= 9; id += 1) await say(id, id % 3 === 0 ? tybalt : juliet, { isText: id !== 6 })
      await list()
      await stage.driver.log.delete(romeo, [9])
      expect(await list()).toEqual([
        [juliet, 8],
        [tybalt, 3],
      ])
      await stage.driver.log.delete(romeo, [3, 8])
      expect(await list()).toEqual([[juliet, 7]])
      expect(await stage.driver.log.expire(romeo, 99_000, 99)).toBe(6)
      expect(await list()).toEqual([])
      await say(10, tybalt)
      expect(await list()).toEqual([[tybalt, 10]])
      await stage.driver.log.deleteOwner(romeo)
      expect(await list()).toEqual([])
      await say(11, juliet)
      expect(await list()).toEqual([[juliet, 11]])
    })

    test("the owner's own newest text is told beside the newest, also when others of both have gone", async () => {
      const { log } = stage.driver
      const answered = async () => (await log.conversations(romeo, { limit: 9 })).map(({ peer, answered }) => [peer, answered])
      const answer = (id: number, change: { isText?: boolean; isTransient?: boolean } = {}) =>
        append(
          log,
          message(id, {
            isText: change.isText ?? true,
            places: [place(romeo, juliet, 'out', false, change.isTransient ?? false)],
          }),
        )
      await say(1, tybalt)
      for (const id of [2, 3, 4]) await answer(id)
      await say(5, juliet)
      await answer(6, { isText: false })
      await answer(7, { isTransient: true })
      expect(await answered()).toEqual([
        [juliet, 4],
        [tybalt, 0],
      ])
      await say(8, juliet)
      await log.delete(romeo, [3, 4])
      expect(await answered()).toEqual([
        [juliet, 2],
        [tybalt, 0],
      ])
      await log.delete(romeo, [8, 5])
      expect(await answered()).toEqual([
        [juliet, 2],
        [tybalt, 0],
      ])
      await log.delete(romeo, [2])
      expect(await answered()).toEqual([[tybalt, 0]])
    })
  })

const unread = (subject: Subject): void =>
  onStage(subject, 'log, unread', (stage) => {
    const count = (...readings: readonly (readonly [string, number])[]) =>
      stage.driver.log.unread(
        romeo,
        readings.map(([peer, after]) => ({ peer, after })),
      )
    const stranger = 'stranger@verona.example'

    test('texts that came from each peer count, behind what was read; what was sent, is no text or only delivered does not', async () => {
      await fill(stage)
      const received = (peer: string, after: number) =>
        Array.from({ length: 24 }, (_, index) => index + 1).filter(
          (id) => id > after && (id % 8 === 0 ? tybalt : juliet) === peer && id % 2 === 0 && id % 4 !== 0 && id % 3 !== 0,
        ).length
      expect(received(juliet, 0)).toBe(4)
      for (const after of [0, 1, 2, 9, 10, 21, 22, 24, 99])
        expect(await count([tybalt, after], [stranger, 0], [juliet, after])).toEqual([0, 0, received(juliet, after)])
      expect(await count()).toEqual([])
      expect(await stage.driver.log.unread(tybalt, [{ peer: romeo, after: 0 }])).toEqual([0])
    })

    test('hundreds are counted as exactly as few, wherever one began to read, and less those that have gone', async () => {
      const { log } = stage.driver
      const all = Array.from({ length: 700 }, (_, index) => index + 1)
      for (const id of all) {
        const peer = id % 7 === 0 ? tybalt : juliet
        log.append(message(id, { places: [place(romeo, peer, id % 10 === 0 ? 'out' : 'in', true)] }), () => undefined)
      }
      const gone = [3, 110, 111, 350, 699]
      const expected = (peer: string, after: number, without: readonly number[] = []) =>
        all.filter((id) => id > after && id % 10 !== 0 && (id % 7 === 0 ? tybalt : juliet) === peer && !without.includes(id))
          .length
      for (const after of [0, 1, 109, 110, 350, 699, 700])
        expect(await count([juliet, after], [tybalt, after])).toEqual([expected(juliet, after), expected(tybalt, after)])
      expect(await count([juliet, 600], [tybalt, 0])).toEqual([expected(juliet, 600), expected(tybalt, 0)])
      await log.delete(romeo, gone)
      for (const after of [0, 3, 200, 500])
        expect(await count([juliet, after], [tybalt, after])).toEqual([
          expected(juliet, after, gone),
          expected(tybalt, after, gone),
        ])
      await append(log, message(701, { places: [place(romeo, juliet, 'in')] }))
      expect(await count([juliet, 695])).toEqual([expected(juliet, 695, gone) + 1])
      await log.deleteOwner(romeo)
      expect(await count([juliet, 0], [tybalt, 0])).toEqual([0, 0])
    })
  })

const latecomers = (subject: Subject): void =>
  onStage(subject, 'log, latecomers', (stage) => {
    const say = (id: number, peer: BareJid, text: string, direction: 'in' | 'out' = 'in') =>
      append(stage.driver.log, message(id, { stanza: saying(text), places: [place(romeo, peer, direction)] }))

    test('what comes behind higher ids is found by peer, by word, and counted, also when all that was asked for before', async () => {
      const { log } = stage.driver
      const peers = [juliet, tybalt]
      const known: { readonly id: number; readonly peer: BareJid; readonly text: string }[] = []
      const come = async (id: number) => {
        const peer = peers[id % 2] ?? juliet
        const text = id % 3 === 0 ? 'third' : 'other'
        await say(id, peer, text, id % 5 === 0 ? 'out' : 'in')
        known.push({ id, peer, text })
        known.sort((a, b) => a.id - b.id)
      }
      const compare = async () => {
        for (const peer of peers) {
          const ids = known.filter((each) => each.peer === peer).map((each) => each.id)
          expect(idsOf(await log.range(romeo, { peer, limit: 99 }))).toEqual(ids)
          expect(await log.count(romeo, { peer })).toBe(ids.length)
          expect(await log.unread(romeo, [{ peer, after: 20 }])).toEqual([ids.filter((id) => id > 20 && id % 5 !== 0).length])
        }
        const third = known.filter(({ text }) => text === 'third').map(({ id }) => id)
        expect(idsOf(await log.search(romeo, 'third', { limit: 99 }))).toEqual(third)
        expect(idsOf(await log.search(romeo, 'third', { limit: 3, backwards: true }))).toEqual(third.toReversed().slice(0, 3))
        const newest = (peer: BareJid, which = (_: number) => true) =>
          known.findLast((each) => each.peer === peer && which(each.id))?.id ?? 0
        expect(await log.conversations(romeo, { limit: 9 })).toEqual(
          peers
            .map((peer) => ({ peer, last: newest(peer), answered: newest(peer, (id) => id % 5 === 0) }))
            .sort((a, b) => b.last - a.last),
        )
      }
      for (let id = 10; id < 40; id += 3) await come(id)
      await compare()
      for (const id of [38, 36, 20, 11, 5, 39, 12]) {
        await come(id)
        await compare()
      }
      for (const id of [50, 49, 48, 33, 32, 30, 29, 27]) await come(id)
      await compare()
    })
  })

const searches = (subject: Subject): void =>
  onStage(subject, 'log, search', (stage) => {
    const TEXTS = [
      'Wherefore art thou Romeo?',
      'Deny thy father and refuse thy name',
      'ROMEO, doff thy name',
      'Ärgerlich: Straße, ÉTÉ',
      '東京タワーへ行く',
      'a <b/> & "quoted" text, 42 times; romeos-own',
    ].map((text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;'))
    const fillTexts = async () => {
      for (const [index, text] of TEXTS.entries())
        await append(
          stage.driver.log,
          message(index + 1, { stanza: saying(text), places: [place(romeo, juliet, 'in'), place(tybalt, juliet, 'in')] }),
        )
    }
    const find = async (words: string, query: Partial<LogQuery> = {}) =>
      idsOf(await stage.driver.log.search(romeo, words, { limit: 99, ...query }))

    test('of a long text the beginning is looked at', async () => {
      const long = `beginning ${'\ufdfa '.repeat(100_000)} end`
      for (const id of [1, 2, 3])
        await append(stage.driver.log, message(id, { stanza: saying(long), places: [place(romeo, juliet, 'in')] }))
      expect(await find('beginning')).toEqual([1, 2, 3])
      expect(await find('end')).toEqual([])
    })

    test('words are found whole or by their beginning, in any case and any script, all of them in any order', async () => {
      await fillTexts()
      expect(await find('romeo')).toEqual([1, 3, 6])
      expect(await find('rom')).toEqual([1, 3, 6])
      expect(await find('omeo')).toEqual([])
      expect(await find('NAME thy')).toEqual([2, 3])
      expect(await find('name romeo thy')).toEqual([3])
      expect(await find('ärger')).toEqual([4])
      expect(await find('été STRASSE')).toEqual([])
      expect(await find('été straße')).toEqual([4])
      expect(await find('タワー')).toEqual([5])
      expect(await find('東 行')).toEqual([5])
      expect(await find('42 quoted b')).toEqual([6])
      expect(await find('amp')).toEqual([])
    })

    test('what looks like a query of some language is words, and without a word nothing is found', async () => {
      await fillTexts()
      for (const hostile of [
        '"',
        '*',
        'romeo" OR "deny',
        'NEAR(romeo deny)',
        'text : romeo AND NOT deny',
        '{zz} ^ -',
        "'); DROP",
        '$gt',
        '.*',
        '(',
        '\\',
      ])
        expect(await find(hostile)).toEqual([])
      expect(await find('"romeo*"')).toEqual([1, 3, 6])
      expect(await find('')).toEqual([])
      expect(await find('romeo '.repeat(2000))).toEqual([1, 3, 6])
      expect(await find('x'.repeat(100_000))).toEqual([])
    })

    test('only bodies are searched, in every language, and a long word is found by what it begins with', async () => {
      const { log } = stage.driver
      const long = 'donau'.repeat(50)
      const stanzas = [
        '<message><subject>balcony</subject><body xml:lang="en">night</body><body xml:lang="de">Nacht</body></message>',
        '<message><x xmlns="urn:x"><body>balcony</body></x></message>',
        `<message><body>${long}</body></message>`,
        'this is no stanza, though it says <body>balcony',
      ]
      for (const [index, text] of stanzas.entries()) await append(log, message(index + 1, { stanza: wire(text) }))
      expect(await find('balcony')).toEqual([])
      expect(await find('nacht night')).toEqual([1])
      expect(await find('donaudonau')).toEqual([3])
      expect(await find(long)).toEqual([3])
    })

    test('what is found is chosen and ordered like a range', async () => {
      const { log } = stage.driver
      for (let id = 1; id <= 20; id += 1) {
        const own = place(romeo, id % 5 === 0 ? tybalt : juliet, id % 2 === 0 ? 'in' : 'out')
        await append(log, message(id, { stanza: saying(id % 3 === 0 ? 'rose' : 'rose and thorn'), places: [own] }))
      }
      expect(await find('thorn', { limit: 4 })).toEqual([1, 2, 4, 5])
      expect(await find('thorn', { limit: 3, backwards: true })).toEqual([20, 19, 17])
      expect(await find('thorn', { after: 5, before: 14 })).toEqual([7, 8, 10, 11, 13])
      expect(await find('thorn', { before: 14, backwards: true, limit: 2 })).toEqual([13, 11])
      expect(await find('thorn', { peer: tybalt })).toEqual([5, 10, 20])
      expect(await find('rose', { direction: 'in', fromMs: 9000, untilMs: 12_000 })).toEqual([10, 12])
      expect(await find('rose', { limit: 0 })).toEqual([])
      expect(idsOf(await log.search(juliet, 'rose', { limit: 9 }))).toEqual([])
    })

    test('what is deleted is not found, what comes later is', async () => {
      await fillTexts()
      const { log } = stage.driver
      expect(await find('romeo')).toEqual([1, 3, 6])
      await log.delete(romeo, [3])
      expect(await find('romeo')).toEqual([1, 6])
      expect(idsOf(await log.search(tybalt, 'romeo', { limit: 9 }))).toEqual([1, 3, 6])
      await append(log, message(7, { stanza: saying('Romeo') }))
      expect(await find('romeo')).toEqual([1, 6, 7])
      await log.deleteOwner(romeo)
      expect(await find('romeo')).toEqual([])
      await append(log, message(8, { stanza: saying('Romeo again') }))
      expect(await find('romeo')).toEqual([8])
      expect(idsOf(await log.search(tybalt, 'romeo', { limit: 9 }))).toEqual([1, 3, 6])
    })

    testKept(subject)('the same is found after closing and opening', async () => {
      await fillTexts()
      expect(await find('thy')).toEqual([2, 3])
      await stage.reopen()
      expect(await find('thy')).toEqual([2, 3])
      await append(stage.driver.log, message(7, { stanza: saying('thy') }))
      await stage.reopen()
      expect(await find('thy')).toEqual([2, 3, 7])
    })
  })

const replacing = (subject: Subject): void =>
  onStage(subject, 'log, replacing', (stage) => {
    test('another stanza is there for every owner, who otherwise keeps the entry as it was', async () => {
      const { log } = stage.driver
      for (const id of [1, 2]) await append(log, message(id))
      log.clearPending(juliet, 1, 6000)
      const before = await log.get(juliet, 1)
      expect(await log.replace(romeo, 1, wire('<message><retracted/>\u00e9</message>'))).toBe(true)
      expect(await log.get(juliet, 1)).toEqual({ ...before, stanza: '<message><retracted/>\u00e9</message>' })
      expect((await log.get(romeo, 1))?.stanza).toBe('<message><retracted/>\u00e9</message>')
      expect((await log.get(romeo, 2))?.stanza).toBe('<message id="m2"/>')
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([2])
    })

    test('who has no such entry replaces nothing', async () => {
      const { log } = stage.driver
      await append(log, message(1))
      await append(log, message(2))
      await log.delete(juliet, [2])
      for (const [owner, id] of [
        [tybalt, 1],
        [juliet, 2],
        [romeo, 3],
      ] as const)
        expect(await log.replace(owner, id, wire('<message/>'))).toBe(false)
      expect((await log.get(romeo, 1))?.stanza).toBe('<message id="m1"/>')
      expect((await log.get(romeo, 2))?.stanza).toBe('<message id="m2"/>')
    })

    test('what was replaced is found by its new words and not by its old ones, by every owner', async () => {
      const { log } = stage.driver
      for (const id of [1, 2, 3]) await append(log, message(id, { stanza: saying(`rose ${id}`) }))
      await append(log, message(4))
      const find = async (owner: BareJid, words: string) => idsOf(await log.search(owner, words, { limit: 9 }))
      expect(await find(romeo, 'rose')).toEqual([1, 2, 3])
      expect(await find(juliet, 'rose')).toEqual([1, 2, 3])
      await log.replace(juliet, 1, saying('thorn'))
      await log.replace(romeo, 3, wire('<message/>'))
      await log.replace(romeo, 4, saying('rose'))
      for (const owner of [romeo, juliet]) {
        expect(await find(owner, 'rose')).toEqual([2, 4])
        expect(await find(owner, 'thorn')).toEqual([1])
      }
    })

    testKept(subject)('what was replaced stays so', async () => {
      await append(stage.driver.log, message(1))
      await stage.driver.log.replace(juliet, 1, saying('thorn'))
      const { log } = await stage.reopen()
      expect((await log.get(romeo, 1))?.stanza).toBe(saying('thorn'))
    })
  })
