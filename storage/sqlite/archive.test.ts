import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { append, idsOf, jid, message, place, romeo, SMALL_PACE } from '../contract/subject.ts'
import { MemoryDriver } from '../memory/driver.ts'
import type { LogFilter } from '../shapes.ts'
import { SqliteDriver } from './driver.ts'

const ENTRIES = 1200
const RARE = jid('rare@verona.example')
const peers = Array.from({ length: 7 }, (_, index) => jid(`guest${index}@verona.example`))

let folder: string
let sqlite: SqliteDriver
const memory = new MemoryDriver({ nowMs: () => 0 })

/** One owner's archive, much longer than anything is done at once; its clock runs backwards now and then, and some of it has gone. */
const fill = async (): Promise<void> => {
  for (const { log } of [memory, sqlite]) {
    for (let id = 1; id <= ENTRIES; id += 1) {
      const peer: BareJid = id % 150 === 0 && id < 700 ? RARE : (peers[(id * 31) % 7] ?? RARE)
      const places = [place(romeo, peer, id % 2 === 0 ? 'in' : 'out', id % 4 === 0, id % 12 === 0)]
      const stanza = wire(`<message><body>all ${id % 100 === 0 ? 'hundreds' : ''} ${id}</body></message>`)
      const appended = append(log, message(id, { atMs: id % 200 < 20 ? id - 100 : id, isText: id % 3 !== 0, stanza, places }))
      if (id % 8 === 0) log.clearPending(romeo, id, id + 7)
      if (id % 100 === 0) await appended
      if (id % 300 === 0) await log.delete(romeo, [id - 7, id - 5, 150])
    }
    await log.flush()
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxwing-archive-'))
  const pace = {
    ...SMALL_PACE,
    entriesPerPass: 100,
    entriesPerLook: 40,
    findsPerLook: 5,
    entriesPerStep: 50,
    textsPerStep: 50,
    wordsPerStep: 50,
    marksPerSlice: 50,
  }
  sqlite = await SqliteDriver.open({ folder, durability: 'relaxed', pace, nowMs: () => 0 })
})
afterEach(async () => {
  await sqlite.close()
  await rm(folder, { recursive: true })
})

test('pages of a long archive are the same as in memory, wherever they begin and whatever they are of', async () => {
  await fill()
  const filters: readonly LogFilter[] = [
    {},
    { after: 600 },
    { before: 500 },
    { fromMs: 590 },
    { untilMs: 610 },
    { fromMs: 300, untilMs: 420 },
    { fromMs: 5000 },
    { untilMs: -200 },
    { peer: RARE },
    { peer: RARE, after: 400 },
    { peer: RARE, after: 700 },
    { peer: peers[2] ?? RARE, before: 900 },
    { peer: peers[3] ?? RARE, fromMs: 700, isText: true },
    { direction: 'in', isTransient: false },
    { isTransient: true, after: 100 },
  ]
  for (const filter of filters) {
    for (const backwards of [false, true]) {
      const query = { ...filter, limit: 50, backwards }
      expect(await sqlite.log.range(romeo, query), JSON.stringify(query)).toEqual(await memory.log.range(romeo, query))
    }
    expect(await sqlite.log.count(romeo, filter), JSON.stringify(filter)).toBe(await memory.log.count(romeo, filter))
  }
  for (const words of ['all', 'hund', '11', 'all 7'])
    for (const query of [{ limit: 60 }, { limit: 60, backwards: true, peer: RARE }, { limit: 20, after: 333, backwards: true }])
      expect(idsOf(await sqlite.log.search(romeo, words, query)), words).toEqual(
        idsOf(await memory.log.search(romeo, words, query)),
      )
  expect(await sqlite.log.conversations(romeo, { limit: 99 })).toEqual(await memory.log.conversations(romeo, { limit: 99 }))
})
