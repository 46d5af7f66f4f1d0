import { type Document, MongoClient } from 'mongodb'
import { afterAll, expect, test } from 'vitest'
import type { Wire } from '#stanzas/wire.ts'
import { type MongoServer, mongoServer } from '../contract/mongodb-server.ts'
import { proxyTo } from '../contract/mongodb-wire.ts'
import { append, juliet, message, romeo, tybalt } from '../contract/subject.ts'
import type { Driver } from '../driver.ts'
import { MongoDriver } from './driver.ts'

const found = await mongoServer()
afterAll(() => found?.stop())

/** Everything that a driver asks of a database once it is open. */
const useEverything = async ({
  accounts,
  log,
  ...driver
}: Driver & { readonly documents: Driver['documents']; readonly expiring: Driver['expiring'] }) => {
  await accounts.create({ jid: romeo, createdAtMs: 1, credentials: { scram: {} }, isDisabled: false })
  await accounts.get(romeo)
  await accounts.update(romeo, { isDisabled: true })
  await accounts.list('verona.example', { after: romeo, limit: 5 })
  await accounts.count('verona.example')
  await accounts.delete(romeo)

  const documents = driver.documents<number>('m/s')
  await documents.put('o', 'k', 1)
  await documents.putIf('o', 'k', 2, (await documents.getRevised('o', 'k'))?.revision)
  await documents.putIf('o', 'new', 2, undefined)
  await documents.putAll(
    'o',
    ['k', 'l', 'm'].map((key) => ({ key, value: key === 'l' ? undefined : 3 })),
  )
  await documents.list('o', { after: 'k', limit: 5 })
  await documents.delete('o', 'k')
  await documents.deleteOwner('o')

  const tokens = driver.expiring<number>('m/s')
  await tokens.put('k', 1, 2_000_000)
  await tokens.get('k')
  await tokens.list('k')
  await tokens.delete('k')
  await tokens.take('k')

  for (let id = 1; id <= 20; id += 1) await append(log, message(id))
  log.clearPending(juliet, 1, 5000)
  await log.pending(juliet, { after: 1, limit: 5 })
  await log.countPending(juliet)
  await log.get(juliet, 1)
  await log.range(juliet, { limit: 5 })
  await log.range(juliet, {
    after: 2,
    before: 9,
    fromMs: 1,
    untilMs: 9000,
    direction: 'in',
    isText: true,
    isTransient: false,
    limit: 5,
    backwards: true,
  })
  await log.range(juliet, { peer: romeo, limit: 5 })
  await log.range(juliet, { peer: romeo, isTransient: false, after: 3, limit: 5, backwards: true })
  await log.count(juliet, { peer: romeo, isText: true, direction: 'in', after: 3 })
  await log.count(juliet, {})
  await log.conversations(juliet, { before: 9, limit: 5 })
  await log.unread(juliet, [
    { peer: romeo, after: 3 },
    { peer: tybalt, after: 0 },
  ])
  await log.search(juliet, 'word', { limit: 5, peer: romeo })
  await log.replace(juliet, 2, '<message/>' as Wire)
  await log.expire(juliet, 5000, 5)
  await log.delete(juliet, [3, 4])
  await log.deleteOwner(juliet)
}

const EXPLAINED = ['find', 'aggregate', 'count', 'findAndModify', 'update', 'delete']
const KEPT = ['filter', 'query', 'sort', 'limit', 'hint', 'pipeline', 'cursor', 'projection', 'remove', 'update']

/** What `explain` takes: a command without its session and the promise of its write; of several statements one at a time. */
const explainable = (command: Document): readonly Document[] => {
  const name = EXPLAINED.find((each) => typeof command[each] === 'string')
  if (name === undefined) return []
  const bare = {
    [name]: command[name],
    ...Object.fromEntries(KEPT.flatMap((key) => (key in command && key !== name ? [[key, command[key]]] : []))),
  }
  const statements: Document[] | undefined = command.updates ?? command.deletes
  if (statements === undefined) return [bare]
  return statements.map((statement) => ({ [name]: command[name], [name === 'update' ? 'updates' : 'deletes']: [statement] }))
}

/** Every stage of every plan in an explanation. */
const stagesOf = (value: unknown): readonly string[] => {
  if (Array.isArray(value)) return value.flatMap(stagesOf)
  if (typeof value !== 'object' || value === null) return []
  const own = 'stage' in value && typeof value.stage === 'string' ? [value.stage] : []
  return [...own, ...Object.entries(value).flatMap(([key, inner]) => (key === 'rejectedPlans' ? [] : stagesOf(inner)))]
}

const conditionOf = (command: Document): Document =>
  command.filter ?? command.query ?? command.pipeline?.[0]?.$match ?? command.updates?.[0]?.q ?? command.deletes?.[0]?.q ?? {}

/** Collections of a few documents, whatever becomes of the server. */
const SMALL = ['meta']

test.skipIf(found?.explains.others !== true)(
  `no query looks through a whole collection, and each names the owners it is about, by explain of ${found?.name ?? 'a MongoDB that is not here (sh conformance/install.sh)'}`,
  async () => {
    const server = found as MongoServer
    const url = server.newUrl()
    const proxy = await proxyTo(url)
    const commands: Document[] = []
    const driver = await MongoDriver.open({ url: proxy.url, durability: 'full', nowMs: () => 1_000_000 })
    proxy.fate = (command) => {
      commands.push(...explainable(command))
      return 'pass'
    }
    const { accounts, log } = driver
    await useEverything(
      Object.assign(Object.create(driver), {
        accounts,
        log,
        documents: driver.documents.bind(driver),
        expiring: driver.expiring.bind(driver),
      }),
    )
    proxy.fate = () => 'pass'

    const client = new MongoClient(url)
    const db = client.db(new URL(url).pathname.slice(1))
    const scans: string[] = []
    const unowned: string[] = []
    const kinds = new Set<string>()
    let excused = 0
    for (const command of commands) {
      const [name = '', collection] = Object.entries(command)[0] ?? []
      if (SMALL.includes(String(collection))) continue
      kinds.add(`${name} ${collection}`)
      const said = JSON.stringify(command)
      // The shard key: a command that does not bound it goes to every shard.
      if (!('_id' in conditionOf(command))) unowned.push(said)
      const stages = stagesOf(await db.command({ explain: command, verbosity: 'queryPlanner' }))
      if (!stages.includes('COLLSCAN')) continue
      if (server.explains.ids || typeof command.hint === 'string') scans.push(said)
      // The stand-in plans ranges of _id by looking through everything, and MongoDB by the index that every collection has.
      else excused += 1
    }
    await driver.close()
    await db.dropDatabase()
    await client.close()
    await proxy.close()
    expect(scans).toEqual([])
    expect(unowned).toEqual([])
    expect([...kinds].sort()).toEqual([
      'aggregate accounts',
      'aggregate log',
      'delete accounts',
      'delete documents',
      'delete groups',
      'delete log',
      'find accounts',
      'find documents',
      'find expiring',
      'find log',
      'findAndModify documents',
      'findAndModify expiring',
      'update accounts',
      'update documents',
      'update expiring',
      'update log',
    ])
    if (excused > 0)
      process.stdout.write(
        `${server.name} explains nothing about ranges of _id: ${excused} of ${commands.length} plans were excused.\n`,
      )
  },
)
