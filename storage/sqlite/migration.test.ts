import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { append, idsOf, jid, juliet, message, place, romeo } from '../contract/subject.ts'
import { databasePath, migrate } from './database.ts'
import { SqliteDriver } from './driver.ts'
import { initial } from './migrations/0001-initial.ts'
import { archive } from './migrations/0002-archive.ts'
import { USUAL_PACE } from './pace.ts'

const ENTRIES = 100
const LAST_INDEXED = 90

/** What version 1 left: Romeo wrote 100 messages to Juliet, 90 of them are in the index, and the last three marks are not worked in. */
const writeVersionOne = (folder: string): void => {
  const db = new Sqlite(databasePath(folder))
  migrate(db, [initial])
  db.exec(`INSERT INTO names VALUES (1, '${romeo}'), (2, '${juliet}'), (3, 'gone@verona.example')`)
  const insert = db.prepare('INSERT INTO log VALUES (?, ?)')
  const record = Buffer.alloc(28)
  record.writeUInt16LE(2, 8)
  for (const [place, [owner, peer, flags]] of [
    [1, 2, 0],
    [2, 1, 3],
  ].entries()) {
    record.writeUInt32LE(owner ?? 0, 10 + place * 9)
    record.writeUInt32LE(peer ?? 0, 14 + place * 9)
    record.writeUInt8(flags ?? 0, 18 + place * 9)
  }
  const addPending = db.prepare('INSERT INTO pending VALUES (2, ?)')
  for (let id = 1; id <= ENTRIES; id += 1) {
    record.writeDoubleLE(timeOf(id), 0)
    insert.run(id, Buffer.concat([record, Buffer.from(`<message id="m${id}"/>`)]))
    if (id > 50 && id <= LAST_INDEXED) addPending.run(id)
  }
  const postings = (peer: number, from: number, to: number): Buffer => {
    const entries = Buffer.alloc((to - from + 1) * 20)
    for (let id = from; id <= to; id += 1) {
      entries.writeDoubleLE(id, (id - from) * 20)
      entries.writeDoubleLE(timeOf(id), (id - from) * 20 + 8)
      entries.writeUInt32LE(peer, (id - from) * 20 + 16)
    }
    return entries
  }
  const addRow = db.prepare('INSERT INTO places VALUES (?, ?, ?, ?, ?)')
  for (const [owner, peer] of [
    [1, 2],
    [2, 1],
  ] as const)
    for (const from of [1, 46]) addRow.run(owner, from, timeOf(from), timeOf(from + 44), postings(peer, from, from + 44))
  db.prepare("UPDATE meta SET value = ? WHERE key IN ('indexed-to', 'indexing-to')").run(LAST_INDEXED)
  const marks = Buffer.alloc(36)
  for (const [index, id] of [60, 61, 95].entries()) {
    marks.writeDoubleLE(id, index * 12)
    marks.writeUInt32LE(2, index * 12 + 8)
  }
  db.prepare('INSERT INTO cleared VALUES (1, ?)').run(marks)
  db.prepare('INSERT INTO garbage VALUES (1, 3, ?)').run(postings(1, 1, 20))
  db.close()
}

/** One clock that was set back in the middle. */
const timeOf = (id: number): number => (id === 40 ? 5 : id) * 1000

test('a store of version 1 opens, with every entry and mark in its place', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-version-'))
  writeVersionOne(folder)
  const { log, ...driver } = await SqliteDriver.open({ folder, durability: 'full', nowMs: () => 0 }).then((each) => ({
    log: each.log,
    close: () => each.close(),
  }))
  const all = Array.from({ length: ENTRIES }, (_, index) => index + 1)
  const taken = new Set([60, 61, 95])
  expect(await log.range(juliet, { limit: 999 })).toEqual(
    all.map((id) => ({
      id,
      atMs: timeOf(id),
      stanza: `<message id="m${id}"/>`,
      owner: juliet,
      peer: romeo,
      direction: 'in',
      isPending: id > 50 && !taken.has(id),
      isTransient: false,
      isText: false,
      takenAtMs: undefined,
    })),
  )
  expect(await log.countPending(juliet)).toBe(47)
  expect(await log.count(romeo, { direction: 'out', peer: juliet })).toBe(ENTRIES)
  expect(idsOf(await log.range(romeo, { fromMs: 4000, untilMs: 6000, limit: 9 }))).toEqual([4, 5, 6, 40])
  expect(await log.range(jid('gone@verona.example'), { limit: 9 })).toEqual([])

  await append(log, message(101))
  log.clearPending(juliet, 70, 123)
  expect((await log.get(juliet, 70))?.takenAtMs).toBe(123)
  await driver.close()
  const again = await SqliteDriver.open({ folder, durability: 'full', nowMs: () => 0 })
  expect((await again.log.get(juliet, 70))?.takenAtMs).toBe(123)
  expect(await again.log.countPending(juliet)).toBe(47)
  await again.close()
  await rm(folder, { recursive: true })
})

test('a store of version 2 that had indexed by peer does so again, with what it did not know', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-version-'))
  writeVersionOne(folder)
  const db = new Sqlite(databasePath(folder))
  migrate(db, [initial, archive])
  db.exec(`INSERT INTO progress (owner, peers_to) VALUES (1, 60); INSERT INTO conversations VALUES (1, 2, 60)`)
  const ids = Buffer.alloc(60 * 8)
  for (let id = 1; id <= 60; id += 1) ids.writeDoubleLE(id, (id - 1) * 8)
  db.prepare('INSERT INTO peer_places VALUES (1, 2, 1, ?)').run(ids)
  db.close()
  const pace = { ...USUAL_PACE, unsortedEntries: 10 }
  const driver = await SqliteDriver.open({ folder, durability: 'full', nowMs: () => 0, pace })
  const { log } = driver
  for (const [id, direction] of [
    [101, 'in'],
    [102, 'out'],
    [103, 'in'],
  ] as const)
    await append(log, message(id, { places: [place(romeo, juliet, direction)] }))
  expect(idsOf(await log.range(romeo, { peer: juliet, before: 40, limit: 2, backwards: true }))).toEqual([39, 38])
  expect(await log.conversations(romeo, { limit: 9 })).toEqual([{ peer: juliet, last: 103, answered: 102 }])
  expect(await log.unread(romeo, [{ peer: juliet, after: 0 }])).toEqual([2])
  await driver.close()
  await rm(folder, { recursive: true })
})
