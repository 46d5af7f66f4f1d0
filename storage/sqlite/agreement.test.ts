import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, test } from 'vitest'
import { tellTheSameStory } from '../contract/agreement.ts'
import { SMALL_PACE } from '../contract/subject.ts'
import { SqliteDriver } from './driver.ts'

let sqlite: SqliteDriver
let folder: string
let places = 0
const open = (number: number) =>
  SqliteDriver.open({ folder: join(folder, String(number)), durability: 'relaxed', pace: SMALL_PACE, nowMs: () => 0 })
/** Closes and opens the database; or opens what a crash would have left: the files as they lie there, with the writer at work. */
const reopened = async (crashes: boolean): Promise<SqliteDriver> => {
  if (crashes) {
    const from = join(folder, String(places))
    places += 1
    await mkdir(join(folder, String(places)))
    for (const file of ['waxwing.db', 'waxwing.db-wal']) await cp(join(from, file), join(folder, String(places), file))
  }
  await sqlite.close()
  return open(places)
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxwing-agreement-'))
  sqlite = await open(places)
})
afterAll(async () => {
  await sqlite.close()
  await rm(folder, { recursive: true })
})

test(
  'SQLite and memory tell the same story, whatever is done to them',
  () =>
    tellTheSameStory(
      {
        get driver() {
          return sqlite
        },
        async reopen(crashes) {
          sqlite = await reopened(crashes)
        },
      },
      { numRuns: 100, seed: 1597 },
    ),
  60_000,
)
