/**
 * How many operations of Redis and of MongoDB a unit of work takes, with two nodes: `node bench/capacity/operations.ts`. Counted by Redis itself, and by the stand-in that the
 * cluster rows use, so each of a node's own commands is one. What is asked for all the time (leases, greetings) is counted in silence first and taken off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { MongoClient } from 'mongodb'
import { forEachIndex, PASSWORD, registerAccounts, usernameOf } from '../client/accounts.ts'
import type { Connection, Target } from '../client/connection.ts'
import { attributeOf, bind, logIn } from '../client/login.ts'
import { messageWriter } from '../load/message.ts'
import { startDatabase } from '../servers/database.ts'
import { startFleet } from '../servers/fleet.ts'
import { startRedis } from '../servers/redis.ts'
import type { RunningServer } from '../servers/server.ts'

const ACCOUNTS = 200
const MESSAGES = 2_000
/** Apart, so that each is a batch of its own: what a fleet pays whose nodes have little to say to each other. */
const APART_MS = 5
const PAGES = 100
const SILENCE_MS = 4_000

type Counts = Readonly<Record<string, number>>

process.env.WAXWING_BENCH_DATABASE = 'memory'
const redis = await startRedis()
const database = await startDatabase()
const url = database.urlOf('operations')
const fleet = await startFleet({ count: 2, ledger: 'durable', redisUrl: redis.url, databaseUrl: url })
const client = await new MongoClient(url).connect()
const counts = async (): Promise<Counts> => {
  const { commands, bytesIn } = await client.db().command({ benchCounts: 1 })
  const { calls, bytesIn: redisIn, bytesOut } = await redis.counts()
  const named = Object.entries(calls).map(([name, count]) => [`redis ${name}`, count])
  return {
    ...Object.fromEntries(named),
    ...commands,
    'bytes to the database': bytesIn,
    'bytes to Redis': redisIn,
    'bytes of Redis': bytesOut,
  }
}

const [one, two] = fleet.nodes
if (one === undefined || two === undefined) throw new Error('a fleet of no nodes')
const places = { one: targetOf(one), two: targetOf(two) }
const connections: Connection[] = []

await registerAccounts(targetOf(one), ACCOUNTS)
// A part of the directory that nobody has asked for is empty and young, and gives nothing out for a while.
await comeOnline()
await leave()
await sleep(8_000)
const quiet = await counted(() => sleep(SILENCE_MS))
say('a second of silence', quiet.used, SILENCE_MS / 1000)
await unit('login, bind and presence', ACCOUNTS, comeOnline)
await sleep(1_000)
await unit('the first message to an address at another node', ACCOUNTS, () => send(0, ACCOUNTS))
await unit('message to another node, one by one', MESSAGES, () => send(1, MESSAGES))
await unit('page of 50 of an archive', PAGES, () => pages())
await unit('logout', ACCOUNTS, leave)
await client.close()
await fleet.end()
await redis.end()
await database.end()
process.exit(0)

function comeOnline(): Promise<void> {
  return forEachIndex(ACCOUNTS, 10, async (index) => {
    const credentials = { username: usernameOf(index), password: PASSWORD, mechanism: 'PLAIN' as const }
    const loggedIn = await logIn(index % 2 === 0 ? places.one : places.two, credentials)
    await bind(loggedIn, { resource: 'load', presence: true })
    connections[index] = loggedIn.connection
  })
}

async function leave(): Promise<void> {
  for (const connection of connections) connection.close()
  await sleep(2_000)
}

async function send(run: number, messages: number): Promise<void> {
  for (let at = 0; at < messages; at++) {
    const sender = at % ACCOUNTS
    connections[sender]?.send(messageWriter(run, sender, sender ^ 1, 'localhost')(at))
    await sleep(APART_MS)
  }
  await sleep(500)
}

function targetOf({ ports, domain }: RunningServer): Target {
  return { kind: 'tcp', port: ports.c2s, domain }
}

async function pages(): Promise<void> {
  const [reader] = connections
  for (let at = 0; at < PAGES; at++) {
    const done = new Promise<void>((resolve) => {
      if (reader !== undefined)
        reader.onStanza = (xml) => attributeOf(xml, 'id') === `p${at}` && xml.startsWith('<iq') && resolve()
    })
    reader?.send(
      `<iq type='set' id='p${at}'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max><before/></set></query></iq>`,
    )
    await Promise.race([done, sleep(2_000)])
  }
}

async function counted(work: () => Promise<void>): Promise<{ readonly used: Counts; readonly seconds: number }> {
  const before = await counts()
  const startMs = performance.now()
  await work()
  const seconds = (performance.now() - startMs) / 1000
  const after = await counts()
  return { used: Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)])), seconds }
}

async function unit(name: string, units: number, work: () => Promise<void>): Promise<void> {
  const { used, seconds } = await counted(work)
  const own = Object.entries(used).map(([each, count]) => [each, count - ((quiet.used[each] ?? 0) * seconds) / quiet.seconds])
  say(name, Object.fromEntries(own) as Counts, units)
}

function say(name: string, used: Counts, units: number): void {
  const each = Object.entries(used).map(([what, count]) => [what, count / units] as const)
  const shown = each.filter(([, count]) => Math.abs(count) >= 0.01).map(([what, count]) => `${what} ${count.toFixed(2)}`)
  process.stdout.write(`${name}: ${shown.join(', ')}\n`)
}
