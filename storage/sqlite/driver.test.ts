import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Wire } from '#stanzas/wire.ts'
import { append, idsOf, jid, juliet, message, place, romeo, SMALL_PACE } from '../contract/subject.ts'
import type { Commit } from '../driver.ts'
import { StorageError } from '../storage-error.ts'
import { databasePath } from './database.ts'
import { SqliteDriver } from './driver.ts'
import { USUAL_PACE } from './pace.ts'

let folder: string
const drivers: SqliteDriver[] = []
const open = async (change: Partial<Parameters<typeof SqliteDriver.open>[0]> = {}): Promise<SqliteDriver> => {
  const driver = await SqliteDriver.open({ folder, durability: 'full', nowMs: () => 0, ...change })
  drivers.push(driver)
  return driver
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxwing-driver-'))
})
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close()
  await rm(folder, { recursive: true })
})

test('indexing in slices hides nothing while appends and marks go on', async () => {
  const { log } = await open({
    pace: { ...USUAL_PACE, entriesPerPass: 2000, marksPerPass: 500, ownersPerSlice: 50, entriesPerSlice: 500, marksPerSlice: 50 },
  })
  const owners = Array.from({ length: 1500 }, (_, index) => jid(`a${index}@verona.example`))
  const waits: Promise<void>[] = []
  for (let id = 1; id <= 6000; id += 1) {
    const owner = owners[id % 1500] ?? romeo
    waits.push(append(log, message(id, { places: [place(owner, juliet, 'in', true), place(romeo, owner, 'out')] })))
    if (id % 3 === 0) log.clearPending(owner, id, id + 7)
    if (id % 500 === 0) {
      await Promise.all(waits)
      const [seen, mine] = await Promise.all([log.range(romeo, { limit: 9999 }), log.pending(owners[1] ?? romeo, { limit: 99 })])
      expect(seen).toHaveLength(id)
      expect(idsOf(mine)).toEqual([1, 1501, 3001, 4501].filter((each) => each <= id && each % 3 !== 0))
    }
  }
  for (const index of [0, 1, 2, 749, 1499]) {
    const ids = [index, index + 1500, index + 3000, index + 4500].filter((id) => id > 0)
    if (index === 0) ids.push(6000)
    expect(idsOf(await log.range(owners[index] ?? romeo, { limit: 9 }))).toEqual(ids)
    expect(await log.countPending(owners[index] ?? romeo)).toBe(ids.filter((id) => id % 3 !== 0).length)
  }
})

test('a full disk fails the batch whole, with a transient error, and the writer lives on', async () => {
  const { log, ...driver } = await open({ maxPages: 60 }).then((each) => ({
    log: each.log,
    documents: each.documents.bind(each),
  }))
  const store = driver.documents<string>('m/s')
  await append(log, message(1))
  await store.put('o', 'k', 'before')

  const large = 'x'.repeat(500_000) as Wire
  log.clearPending(juliet, 1, 7)
  const results = await Promise.allSettled([
    append(log, message(2)),
    append(log, message(3, { stanza: large })),
    store.put('o', 'k', 'during'),
    store.get('o', 'k'),
  ])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'fulfilled'])
  for (const result of results.slice(0, 3))
    expect(result).toMatchObject({
      reason: { name: 'StorageError', isTransient: true, message: expect.stringContaining('the disk is full') },
    })

  expect(await store.get('o', 'k')).toBe('before')
  expect(await log.lastId()).toBe(1)
  await append(log, message(2))
  expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([1, 2])
  // The mark went down with the batch, and was taken off by the next.
  expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([2])
  await store.put('o', 'k', 'after')
})

test('a database of a newer version is refused by name, and left as it was', async () => {
  await (await open()).close()
  const db = new Sqlite(databasePath(folder))
  db.exec("INSERT INTO schema_version VALUES (99, 'from the future')")
  db.close()
  await expect(open()).rejects.toThrow(/schema version 99, and this version of the server knows 3/)
  await expect(open()).rejects.toBeInstanceOf(StorageError)
})

test('a file that is no database is refused', async () => {
  await writeFile(databasePath(folder), 'This is a shopping list. '.repeat(400))
  await expect(open()).rejects.toThrow(/the database file is damaged, or is not a database/)
})

test('a data folder that cannot be made is refused', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(open({ folder: join(folder, 'file', 'data') })).rejects.toThrow(StorageError)
})

test('accounts can be edited beside a running server, whose log stays its own', async () => {
  const server = await open()
  await append(server.log, message(1))
  const command = await open()
  const account = { jid: romeo, createdAtMs: 1, credentials: { scram: {} }, isDisabled: false }
  expect(await command.accounts.create(account)).toBe(true)
  expect(await server.accounts.get(romeo)).toEqual(account)
  await expect(command.log.lastId()).rejects.toThrow(/another process is using the message log/)
  await command.close()
  await append(server.log, message(2))
  await server.close()
  expect(await (await open()).log.lastId()).toBe(2)
})

test('a backup made while the server writes holds what was durable before it, and opens', async () => {
  const driver = await open()
  for (let id = 1; id <= 300; id += 1) driver.log.append(message(id), () => {})
  const copy = join(folder, 'copy')
  await mkdir(copy)
  const backup = driver.backup(databasePath(copy))
  await append(driver.log, message(301))
  await backup
  const restored = await open({ folder: copy })
  expect((await restored.log.range(juliet, { limit: 999 })).length).toBeGreaterThanOrEqual(300)
  await expect(driver.backup(join(folder, 'no', 'such', 'folder'))).rejects.toThrow(StorageError)
})

test('closing keeps what was queued, refuses what comes after, and may be called twice', async () => {
  const driver = await open()
  const appended = append(driver.log, message(1))
  const closed = driver.close()
  await expect(append(driver.log, message(2))).rejects.toThrow('the store is closed')
  await expect(driver.check()).rejects.toThrow('the store is closed')
  await Promise.all([appended, closed, driver.close()])
  expect(await (await open()).log.lastId()).toBe(1)
})

test('an owner with much is deleted at once and cleaned up behind, also by the next process', async () => {
  const first = await open({ pace: { ...SMALL_PACE, entriesPerPass: 500 } })
  const waits: Promise<void>[] = []
  for (let id = 1; id <= 3000; id += 1) waits.push(append(first.log, message(id)))
  await Promise.all(waits)
  const deleted = first.log.deleteOwner(juliet)
  expect(await first.log.range(juliet, { limit: 9 })).toEqual([])
  await deleted
  await first.close()
  const second = await open()
  expect(await second.log.range(juliet, { limit: 9 })).toEqual([])
  expect(await second.log.countPending(juliet)).toBe(0)
  expect(await second.log.range(romeo, { limit: 9999 })).toHaveLength(3000)
  await second.log.deleteOwner(romeo)
  expect(await second.log.lastId()).toBe(3000)
  await second.close()
})

test('each commit is told with its size, its time and its failures, and reading is none', async () => {
  const commits: Commit[] = []
  let nowMs = 0
  const observer = { monotonicMs: () => (nowMs += 5), onCommit: (commit: Commit) => void commits.push(commit) }
  const driver = await SqliteDriver.open({ folder, durability: 'full', nowMs: () => 0 }, observer)
  drivers.push(driver)
  await Promise.all([append(driver.log, message(1)), append(driver.log, message(2)), driver.documents('m/s').put('o', 'k', 1)])
  expect(commits).toEqual([{ operations: 3, durationMs: 5, failures: 0 }])
  await driver.log.lastId()
  expect(commits).toHaveLength(1)
  await expect(append(driver.log, message(2))).rejects.toThrow(StorageError)
  expect(commits[1]).toMatchObject({ operations: 1, failures: 1 })
})
