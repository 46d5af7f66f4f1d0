import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Wire } from '#stanzas/wire.ts'
import { mongoServer } from './contract/mongodb-server.ts'
import { append, juliet, message, romeo } from './contract/subject.ts'
import { migrate } from './migrate.ts'
import { openDriver } from './open.ts'
import { StorageError } from './storage-error.ts'

const server = await mongoServer()
afterAll(() => server?.stop())

describe.skipIf(server === undefined)(
  `waxwing migrate, to ${server?.name ?? 'a MongoDB that is not here (sh conformance/install.sh)'}`,
  () => {
    let folder: string
    let url: string
    const nowMs = () => 1_000_000
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'waxwing-migrate-'))
      url = server?.newUrl() ?? ''
    })
    afterEach(async () => {
      const client = new MongoClient(url)
      await client.db(new URL(url).pathname.slice(1)).dropDatabase()
      await client.close()
      await rm(folder, { recursive: true })
    })

    const fill = async () => {
      const driver = await openDriver({ kind: 'sqlite', path: folder }, { nowMs })
      const account = { jid: romeo, createdAtMs: 5, credentials: { scram: {}, bcrypt: 'x' }, isDisabled: true }
      await driver.accounts.create(account)
      const contacts = driver.documents<string>('roster/contacts')
      await Promise.all(Array.from({ length: 120 }, (_, index) => contacts.put(romeo, `k${index}`, `value ${index}`)))
      await driver.documents<number>('pubsub/nodes').put('a strange % owner', 'k', 1)
      await driver.expiring<string>('fast/tokens').put('token', 'secret', 2_000_000)
      for (let id = 1; id <= 5; id += 1)
        await append(driver.log, message(id, { stanza: `<message>\xff\x00${id}</message>` as Wire }))
      driver.log.clearPending(juliet, 2, 7000)
      await driver.log.flush()
      await driver.close()
      return account
    }
    const run = (onProgress: (what: string, done: number, all: number) => void = () => {}) =>
      migrate({ folder, url, nowMs, onProgress })

    test('everything arrives, is compared, and is there for the server', async () => {
      const account = await fill()
      const steps: string[] = []
      const migrated = await run((what, done, all) => steps.push(`${what} ${done}/${all}`))
      expect(migrated).toEqual({ accounts: 1, documents: 121, expiring: 1, entries: 10 })
      expect(steps.at(-1)).toMatch(/^compared (\d+)\/\1$/)

      const driver = await openDriver({ kind: 'mongodb', url }, { nowMs })
      expect(await driver.accounts.get(romeo)).toEqual(account)
      expect(await driver.documents<string>('roster/contacts').get(romeo, 'k119')).toBe('value 119')
      expect(await driver.documents<number>('pubsub/nodes').get('a strange % owner', 'k')).toBe(1)
      expect(await driver.expiring<string>('fast/tokens').take('token')).toBe('secret')
      expect(await driver.log.lastId()).toBe(5)
      expect(await driver.log.countPending(juliet)).toBe(4)
      expect(await driver.log.get(juliet, 2)).toMatchObject({ isPending: false, stanza: '<message>\xff\x00' + '2</message>' })
      await driver.close()
    })

    test('what was broken off goes on where it was, and until then no server opens the database', async () => {
      await fill()
      let first = 0
      const stop = (what: string, done: number) => {
        first = done
        if (what === 'copied' && done === 3) throw new Error('the power is gone')
      }
      await expect(run(stop)).rejects.toThrow('the power is gone')
      await expect(openDriver({ kind: 'mongodb', url }, { nowMs })).rejects.toThrow('has not finished')
      const copied: number[] = []
      await run((what, done) => what === 'copied' && copied.push(done))
      expect(copied[0]).toBe(first + 1)
      await (await openDriver({ kind: 'mongodb', url }, { nowMs })).close()
    })

    test('what came out different is said, and the database stays closed to servers', async () => {
      await fill()
      const lose = (what: string, done: number, all: number) => {
        if (what === 'copied' && done === all) throw new Error('just before comparing')
      }
      await expect(run(lose)).rejects.toThrow('just before comparing')
      const client = new MongoClient(url)
      await client.db(new URL(url).pathname.slice(1)).collection('log').deleteOne({ d: 1 })
      await client.close()
      await expect(run()).rejects.toThrow(/entries: the log of juliet@verona.example came out different \(5 there, 4 here\)/)
      await expect(openDriver({ kind: 'mongodb', url }, { nowMs })).rejects.toThrow('has not finished')
    })

    test('a database that is filled is not filled again', async () => {
      await fill()
      await run()
      await expect(run()).rejects.toThrow('done already')
    })

    test('a database that holds something else is refused', async () => {
      await fill()
      const driver = await openDriver({ kind: 'mongodb', url }, { nowMs })
      await driver.documents<number>('m/s').put('o', 'k', 1)
      await driver.close()
      await expect(run()).rejects.toThrow(StorageError)
      await expect(run()).rejects.toThrow('not empty')
    })
  },
)
