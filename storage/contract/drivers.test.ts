import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDriver } from '../open.ts'
import { SqliteDriver } from '../sqlite/driver.ts'
import { accountsContract } from './accounts.ts'
import { documentsContract } from './documents.ts'
import { expiringContract } from './expiring.ts'
import { logContract } from './log.ts'
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

for (const subject of [memory, sqlite, sqliteIndexing]) {
  accountsContract(subject)
  documentsContract(subject)
  expiringContract(subject)
  logContract(subject)
}
