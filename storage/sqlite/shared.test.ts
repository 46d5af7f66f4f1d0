import { once } from 'node:events'
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { wire } from '#stanzas/wire.ts'
import { tellTheSameStory } from '../contract/agreement.ts'
import { append, idsOf, juliet, message, romeo, SMALL_PACE } from '../contract/subject.ts'
import type { Driver } from '../driver.ts'
import { StorageError } from '../storage-error.ts'
import { Batch, Dictionary } from './batch.ts'
import { openDatabase } from './database.ts'
import { SqliteDriver } from './driver.ts'
import { decodeRequest, encodeRequest } from './frames.ts'
import { References } from './names.ts'
import { Store } from './store.ts'

let folder: string
let socket: string
const drivers: Driver[] = []
const opened = <T extends Driver>(driver: T): T => {
  drivers.push(driver)
  return driver
}
const own = async (change: object = {}) =>
  opened(await SqliteDriver.open({ folder, durability: 'relaxed', pace: SMALL_PACE, nowMs: () => 0, socket, ...change }))
const joined = async () => opened(await SqliteDriver.connect(socket, () => 0))

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxwing-shared-'))
  await chmod(folder, 0o755)
  socket = join(folder, 'store.sock')
})
afterEach(async () => {
  for (const driver of drivers.splice(0).reverse()) await driver.close()
  await rm(folder, { recursive: true })
})

test('two processes append, mark and ask at once; each is answered in its order, and both see all of it', async () => {
  await own()
  const clients = [await joined(), await joined()]
  const reports: number[][] = [[], []]
  const waits: Promise<void>[] = []
  for (let step = 1; step <= 300; step += 1) {
    for (const [index, { log }] of clients.entries()) {
      const id = step * 2 + index
      waits.push(append(log, message(id)).then(() => void reports[index]?.push(id)))
      if (step % 3 === 0) log.clearPending(juliet, id, 9000)
    }
    if (step % 50 === 0) await Promise.all(waits)
  }
  await Promise.all(waits)
  await Promise.all(clients.map(({ log }) => log.flush()))
  const all = Array.from({ length: 600 }, (_, index) => index + 2)
  for (const [index, ids] of reports.entries()) expect(ids).toEqual(all.filter((id) => id % 2 === index))
  for (const { log } of clients) {
    expect(idsOf(await log.range(romeo, { limit: 999 }))).toEqual(all)
    expect(await log.countPending(juliet)).toBe(400)
    expect(await log.lastId()).toBe(601)
  }
})

test('a document that two processes change by its revision is changed by one of them', async () => {
  const owner = await own()
  const stores = [owner, await joined(), await joined()].map((driver) => driver.documents<number>('m/s'))
  const made = await Promise.all(stores.map((store, index) => store.putIf('romeo', 'key', index, undefined)))
  expect(made.filter((isMade) => isMade)).toHaveLength(1)
  expect(await stores[0]?.get('romeo', 'key')).toBe(made.indexOf(true))
})

test('who dies in the middle of a batch, or sends what is none, harms nobody', async () => {
  await own()
  const { log } = await joined()
  const batch = new Batch(new Dictionary(), new ArrayBuffer(16))
  batch.append(message(1), () => undefined)
  const frame = Buffer.concat(encodeRequest(batch.message()))
  const half = connect(socket)
  half.write(frame.subarray(0, frame.length - 20))
  await append(log, message(2))
  half.destroy()
  for (const bytes of [
    [0, 0, 0, 0],
    [255, 255, 255, 255],
    [1, 0, 0, 0, 77],
    [14, 0, 0, 0, 1, ...Array(12).fill(9), 1],
  ]) {
    const broken = connect(socket)
    broken.write(Buffer.from(bytes))
    broken.resume()
    await once(broken, 'close')
  }
  await append(log, message(3))
  expect(idsOf(await log.range(romeo, { limit: 9 }))).toEqual([2, 3])
})

test('when the owner ends, what waits is refused, and the next owner has what was acknowledged', async () => {
  const owner = await own()
  const { log } = await joined()
  await append(log, message(1))
  await owner.close()
  await expect(append(log, message(2))).rejects.toThrow('the process that owns the store is gone')
  await expect(log.range(romeo, { limit: 9 })).rejects.toThrow(StorageError)
  await own()
  const again = await joined()
  await append(again.log, message(3))
  expect(idsOf(await again.log.range(romeo, { limit: 9 }))).toEqual([1, 3])
})

test('the socket is for the own user only, and one that a dead process left is replaced; one that lives is not', async () => {
  await writeFile(socket, '')
  await own()
  expect((await stat(socket)).mode & 0o777).toBe(0o600)
  await expect(own()).rejects.toThrow('another process serves the store')
  await append((await joined()).log, message(1))
})

test('a backup is made for whoever asks', async () => {
  await own()
  const client = await joined()
  await append(client.log, message(1))
  await client.backup(join(folder, 'copy.db'))
  expect((await stat(join(folder, 'copy.db'))).size).toBeGreaterThan(0)
  await expect(client.backup(join(folder, 'no', 'such', 'folder'))).rejects.toThrow(StorageError)
})

test('what cannot be written costs none of those it was to be committed with', () => {
  const db = openDatabase({ folder, durability: 'relaxed', maxPages: 60 })
  const store = new Store(db, { folder })
  const reports: string[] = []
  const task = (id: number, stanza: string) => {
    const batch = new Batch(new Dictionary(), new ArrayBuffer(16))
    batch.append(message(id, { stanza: wire(stanza) }), (error) => reports.push(`${id} ${error?.message.slice(0, 16) ?? 'kept'}`))
    const frame = Buffer.concat(encodeRequest(batch.message())).subarray(4)
    const request = decodeRequest(frame)
    if (request.kind !== 'batch') throw new Error('no batch')
    return { batch, task: { batch: request.batch, references: new References() } }
  }
  const tasks = [task(2, '<a/>'), task(3, 'x'.repeat(1_000_000)), task(1, '<b/>')]
  const answers = store.performAll(tasks.map((each) => each.task))
  for (const [index, answer] of answers.entries()) tasks[index]?.batch.settle(answer)
  expect(reports).toEqual(['2 kept', '3 the disk is full', '1 kept'])
  store.close()
})

test('the shared store and memory tell the same story, whatever is done to them', async () => {
  let owner = await own()
  let driver = await joined()
  const subject = {
    get driver() {
      return driver
    },
    async reopen() {
      await driver.close()
      await owner.close()
      owner = await own()
      driver = await joined()
    },
  }
  await tellTheSameStory(subject, { numRuns: 30, seed: 2584 })
}, 60_000)
