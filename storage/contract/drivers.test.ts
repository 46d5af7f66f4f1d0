import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { afterAll, describe, test } from 'vitest'
import { openDriver } from '../open.ts'
import { SqliteDriver } from '../sqlite/driver.ts'
import { accountsContract } from './accounts.ts'
import { archiveContract } from './archive.ts'
import { documentsContract } from './documents.ts'
import { expiringContract } from './expiring.ts'
import { logContract } from './log.ts'
import { ferretServer, type MongoServer, mongoServer } from './mongodb-server.ts'
import { SMALL_PACE, type Subject } from './subject.ts'

const memory: Subject = {
  name: 'memory',
  isPersistent: false,
  place: async (options) => ({ open: () => openDriver({ kind: 'memory' }, options), remove: async () => {} }),
}

const sqlite: Subject = {
  name: 'sqlite',
  isPersistent: true,
  async place(options) {
    const path = await mkdtemp(join(tmpdir(), 'waxwing-sqlite-'))
    return { open: () => openDriver({ kind: 'sqlite', path }, options), remove: () => rm(path, { recursive: true }) }
  },
}

const sqliteIndexing: Subject = {
  name: 'sqlite, always indexing',
  isPersistent: true,
  async place({ nowMs }) {
    const folder = await mkdtemp(join(tmpdir(), 'waxwing-sqlite-'))
    const open = () => SqliteDriver.open({ folder, durability: 'relaxed', pace: SMALL_PACE, nowMs })
    return { open, remove: () => rm(folder, { recursive: true }) }
  },
}

/** Used from another process, but for that it is this one; its owner begins anew with each opening. */
const sqliteShared: Subject = {
  name: 'sqlite, shared',
  isPersistent: true,
  async place({ nowMs }) {
    const folder = await mkdtemp(join(tmpdir(), 'waxwing-sqlite-'))
    const socket = join(folder, 'store.sock')
    let owner: SqliteDriver | undefined
    return {
      async open() {
        await owner?.close()
        owner = await SqliteDriver.open({ folder, durability: 'relaxed', pace: SMALL_PACE, nowMs, socket })
        return openDriver({ kind: 'shared', socket }, { nowMs })
      },
      async remove() {
        await owner?.close()
        await rm(folder, { recursive: true })
      },
    }
  },
}

const mongo = (server: MongoServer): Subject => ({
  name: `mongodb (${server.name})`,
  isPersistent: true,
  async place(options) {
    const url = server.newUrl()
    const remove = async () => {
      const client = new MongoClient(url)
      await client.db(new URL(url).pathname.slice(1)).dropDatabase()
      await client.close()
    }
    return { open: () => openDriver({ kind: 'mongodb', url }, options), remove }
  },
})

const servers = [await mongoServer(), await ferretServer()].filter((server) => server !== undefined)
afterAll(() => Promise.all(servers.map((server) => server.stop())))
process.stdout.write(`MongoDB's protocol in these tests: ${servers.map(({ name }) => name).join(', ') || 'nobody speaks it'}.\n`)
if (servers.length === 0) describe('mongodb', () => test.skip('no server is here: sh conformance/install.sh gets one', () => {}))

for (const subject of [memory, sqlite, sqliteIndexing, sqliteShared, ...servers.map(mongo)]) {
  accountsContract(subject)
  documentsContract(subject)
  expiringContract(subject)
  logContract(subject)
  archiveContract(subject)
}
