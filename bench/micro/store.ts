/**
 * What the embedded store costs: `node bench/micro/store.ts`, or only `engines`, `appends`, `archive` or `chats` of it.
 * CPU is user and system time of all threads of this process; run it on a machine that does little else, and compare ratios.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import Sqlite from 'better-sqlite3'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { openDriver } from '#storage/open.ts'
import type { Log, LogQuery, LogRecord } from '#storage/shapes.ts'

const STANZA = wire(`<message type="chat">${'x'.repeat(600 - 31)}</message>`)
const ACCOUNTS = 1000
const PEERS = 20

interface Cost {
  readonly cpuMicros: number
  readonly perSecond: number
}

const measure = async (units: number, work: () => Promise<void> | void): Promise<Cost> => {
  const [cpu, startMs] = [process.cpuUsage(), performance.now()]
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return { cpuMicros: (user + system) / units, perSecond: (units * 1000) / (performance.now() - startMs) }
}

const inFolder = async <T>(work: (folder: string) => Promise<T> | T): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'waxwing-bench-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const median = <T>(values: readonly T[], of: (value: T) => number): T | undefined =>
  values.toSorted((a, b) => of(a) - of(b))[values.length >> 1]

const row = (...cells: readonly (string | number)[]): void =>
  console.log(`| ${cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(2) : cell)).join(' | ')} |`)

/** The statements both engines run. */
interface Engine {
  readonly name: string
  open(path: string): {
    exec(sql: string): unknown
    prepare(sql: string): {
      run(...values: (number | string | Buffer)[]): unknown
      all(...values: (number | string)[]): unknown[]
    }
    close(): void
  }
}

const ENGINES: readonly Engine[] = [
  {
    name: 'better-sqlite3',
    open(path) {
      const db = new Sqlite(path)
      return {
        exec: (sql) => db.exec(sql),
        prepare(sql) {
          const statement = db.prepare(sql)
          return { run: (...values) => statement.run(...values), all: (...values) => statement.all(...values) }
        },
        close: () => db.close(),
      }
    },
  },
  { name: 'node:sqlite', open: (path) => new DatabaseSync(path) },
]

const engineCosts = (engine: Engine, path: string) => {
  const db = engine.open(path)
  for (const pragma of ['page_size = 4096', 'journal_mode = WAL', 'synchronous = FULL', 'wal_autocheckpoint = 2000'])
    db.exec(`PRAGMA ${pragma}`)
  db.exec('CREATE TABLE log (id INTEGER PRIMARY KEY, record BLOB)')
  db.exec('CREATE TABLE documents (owner TEXT, key TEXT, value TEXT, PRIMARY KEY (owner, key)) WITHOUT ROWID')
  const rows = 50_000
  const record = Buffer.alloc(627, 'x')
  const insert = db.prepare(`INSERT INTO log VALUES ${Array(8).fill('(?, ?)').join(', ')}`)
  const put = db.prepare('INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value')
  const page = db.prepare('SELECT id, record FROM log WHERE id > ? ORDER BY id LIMIT 50')
  const inBatches = (count: number, size: number, step: (index: number) => void) => () => {
    for (let from = 0; from < count; from += size) {
      db.exec('BEGIN IMMEDIATE')
      for (let index = from; index < from + size; index += 1) step(index)
      db.exec('COMMIT')
    }
  }
  const appendEight = (index: number) =>
    insert.run(...Array.from({ length: 8 }, (_, each) => [2 ** 50 + index * 8 + each, record.subarray(0, 627)]).flat())
  return {
    db,
    rows,
    append: inBatches(rows / 8, 50, appendEight),
    put: inBatches(20_000, 100, (index) => put.run(`owner${index % 1000}`, `key${index % 97}`, '{"name":"Juliet"}')),
    read: () => {
      for (let index = 0; index < 1000; index += 1) page.all(2 ** 50 + index * 47)
    },
  }
}

const compareEngines = async (): Promise<void> => {
  row('engine', 'append, µs', 'document, µs', 'page of 50, µs')
  row('---', '---', '---', '---')
  for (const engine of ENGINES) {
    const runs: (readonly number[])[] = []
    for (let run = 0; run < 5; run += 1) {
      runs.push(
        await inFolder(async (folder) => {
          const { db, rows, append, put, read } = engineCosts(engine, join(folder, 'bench.db'))
          const costs = [await measure(rows, append), await measure(20_000, put), await measure(1000, read)]
          db.close()
          return costs.map(({ cpuMicros }) => cpuMicros)
        }),
      )
    }
    row(engine.name, ...[0, 1, 2].map((column) => median(runs, (costs) => costs[column] ?? 0)?.[column] ?? 0))
  }
}

const jids = Array.from({ length: ACCOUNTS }, (_, index) => `account${index}@verona.example` as BareJid)
const jid = (index: number): BareJid => jids[index % ACCOUNTS] as BareJid

const message = (id: number): LogRecord => {
  const sender = jid(id * 7919)
  const recipient = jid(id * 7919 + 1 + ((id >> 7) % PEERS))
  return {
    id,
    atMs: id,
    stanza: STANZA,
    isText: true,
    places: [
      { owner: sender, peer: recipient, direction: 'out', isPending: false, isTransient: false },
      { owner: recipient, peer: sender, direction: 'in', isPending: true, isTransient: false },
    ],
  }
}

/** Keeps two groups of this size on their way, one committing and one collecting, each mark taken off once its record is durable. */
const saturate = (log: Log, count: number, group: number, clears: boolean): Promise<void> =>
  new Promise((resolve, reject) => {
    let [sent, settled] = [0, 0]
    const send = (): void => {
      sent += 1
      const record = message(sent)
      log.append(record, (error) => {
        if (error !== undefined) reject(error)
        if (clears) log.clearPending(record.places[1]?.owner ?? jid(0), record.id, record.id + 7)
        settled += 1
        if (settled === count) resolve(log.flush())
        else if (sent < count) send()
      })
    }
    for (let index = 0; index < group * 2; index += 1) send()
  })

const measureDriver = async (group: number, clears: boolean, count: number): Promise<Cost & { readonly bytes: number }> =>
  inFolder(async (folder) => {
    const driver = await openDriver({ kind: 'sqlite', path: folder }, { nowMs: () => Date.now() })
    await driver.log.lastId()
    const cost = await measure(count, () => saturate(driver.log, count, group, clears))
    await driver.close()
    return { ...cost, bytes: statSync(join(folder, 'waxwing.db')).size / count }
  })

const measureDrivers = async (): Promise<void> => {
  row('records a group', 'marks', 'µs CPU an append', 'appends/s', 'bytes an append on disk')
  row('---', '---', '---', '---', '---')
  for (const [group, count] of [
    [10, 20_000],
    [100, 100_000],
    [500, 200_000],
  ] as const) {
    for (const clears of [false, true]) {
      const runs: (Cost & { readonly bytes: number })[] = []
      for (let run = 0; run < 3; run += 1) runs.push(await measureDriver(group, clears, count))
      const middle = median(runs, ({ cpuMicros }) => cpuMicros)
      if (middle !== undefined)
        row(
          String(group),
          clears ? 'taken off' : 'left',
          middle.cpuMicros,
          Math.round(middle.perSecond).toLocaleString('en'),
          String(Math.round(middle.bytes)),
        )
    }
  }
}

/** An archive of one owner, in which one contact has written every thousandth message, and only so far. */
const ARCHIVE = 1_000_000
const PAGE = 50
const OWNER = jid(0)
const RARE = 'rare@verona.example'

const fillArchive = async (log: Log): Promise<void> => {
  for (let from = 1; from <= ARCHIVE; from += 20_000) {
    for (let id = from; id < from + 20_000; id += 1) {
      const peer = id % 10_000 === 0 && id <= ARCHIVE / 2 ? RARE : jid(1 + ((id * 7919) % 200))
      const place = { owner: OWNER, peer, direction: id % 2 === 0 ? 'in' : 'out', isPending: false, isTransient: false } as const
      log.append({ id, atMs: id * 1000, stanza: STANZA, isText: true, places: [place] }, () => undefined)
    }
    await log.flush()
  }
}

const measureArchive = async (): Promise<void> =>
  inFolder(async (folder) => {
    const driver = await openDriver({ kind: 'sqlite', path: folder }, { nowMs: () => Date.now() })
    const { log } = driver
    await fillArchive(log)
    const middle = ARCHIVE / 2
    const questions: readonly (readonly [string, Omit<LogQuery, 'limit'>])[] = [
      ['first page', {}],
      ['after the middle', { after: middle }],
      ['last page, backwards', { backwards: true }],
      ['from the middle, backwards', { before: middle, backwards: true }],
      ['from a time in the middle', { fromMs: middle * 1000 }],
      ['until a time in the middle, backwards', { untilMs: middle * 1000, backwards: true }],
      ['last page of a usual peer', { peer: jid(1), backwards: true }],
      ['first page of a rare peer', { peer: RARE }],
      ['last page of a rare peer', { peer: RARE, backwards: true }],
      ['page of a rare peer, where there is none', { peer: RARE, after: middle }],
    ]
    const indexed = await measure(1, async () => void (await log.range(OWNER, { peer: RARE, limit: PAGE })))
    console.log(`index by peer, made at its first use: ${Math.round(indexed.cpuMicros / 1000)} ms of CPU`)
    row('archive of 1,000,000', 'entries', 'ms CPU a page')
    row('---', '---', '---')
    const repeats = 300
    for (const [name, query] of questions) {
      const { length } = await log.range(OWNER, { ...query, limit: PAGE })
      const { cpuMicros } = await measure(repeats, async () => {
        for (let repeat = 0; repeat < repeats; repeat += 1) await log.range(OWNER, { ...query, limit: PAGE })
      })
      row(name, String(length), cpuMicros / 1000)
    }
    const { cpuMicros } = await measure(repeats, async () => {
      for (let repeat = 0; repeat < repeats; repeat += 1) await log.conversations(OWNER, { limit: PAGE })
    })
    row('conversations', String((await log.conversations(OWNER, { limit: PAGE })).length), cpuMicros / 1000)
    const counted = await measure(1, async () => void (await log.count(OWNER, { direction: 'in' })))
    row('count of all', '1', counted.cpuMicros / 1000)
    await driver.close()
  })

/** A chat list: so many conversations, each with some texts that were read, one answer, and some that are unread. */
const CHATS = 1000
const ANSWERED_AFTER = 10

const fillChats = async (log: Log, unread: number, unreadInNewest: number): Promise<void> => {
  let id = 0
  const say = (peer: string, direction: 'in' | 'out'): void => {
    id += 1
    const place = { owner: OWNER, peer, direction, isPending: false, isTransient: false } as const
    log.append({ id, atMs: id, stanza: STANZA, isText: true, places: [place] }, () => undefined)
  }
  for (let round = 0; round <= ANSWERED_AFTER + unread; round += 1) {
    for (let peer = 0; peer < CHATS; peer += 1) say(`contact${peer}@verona.example`, round === ANSWERED_AFTER ? 'out' : 'in')
    await log.flush()
  }
  for (let more = 0; more < unreadInNewest; more += 1) {
    say(`contact${CHATS - 1}@verona.example`, 'in')
    if (more % 10_000 === 0) await log.flush()
  }
  await log.flush()
}

const measureChats = async (): Promise<void> => {
  row('chats of 1,000', 'unread', 'ms CPU of the store')
  row('---', '---', '---')
  for (const [unread, unreadInNewest] of [
    [20, 0],
    [20, 100_000],
    [200, 0],
  ] as const) {
    await inFolder(async (folder) => {
      const driver = await openDriver({ kind: 'sqlite', path: folder }, { nowMs: () => Date.now() })
      const { log } = driver
      await fillChats(log, unread, unreadInNewest)
      const list = async (limit: number): Promise<number> => {
        const conversations = await log.conversations(OWNER, { limit })
        const readings = conversations.map(({ peer, answered }) => ({ peer, after: answered }))
        const [counts] = await Promise.all([
          log.unread(OWNER, readings),
          ...(limit === PAGE ? conversations.map(({ last }) => log.get(OWNER, last)) : []),
        ])
        return counts.reduce((sum, count) => sum + count, 0)
      }
      for (const [name, limit] of [
        [`page of ${PAGE}, with the newest texts`, PAGE],
        ['sums of all', CHATS],
      ] as const) {
        const sum = await list(limit)
        const repeats = 100
        const { cpuMicros } = await measure(repeats, async () => {
          for (let repeat = 0; repeat < repeats; repeat += 1) await list(limit)
        })
        row(name, sum.toLocaleString('en'), cpuMicros / 1000)
      }
      await driver.close()
    })
  }
}

const sections = { engines: compareEngines, appends: measureDrivers, archive: measureArchive, chats: measureChats }
for (const [name, section] of Object.entries(sections)) {
  if (process.argv.length > 2 && !process.argv.includes(name)) continue
  await section()
  console.log()
}
