import { MongoClient } from 'mongodb'
import { registerAccounts } from '../client/accounts.ts'
import type { Target } from '../client/connection.ts'
import { type RunningDatabase, startDatabase } from '../servers/database.ts'
import { type RunningFleet, startFleet } from '../servers/fleet.ts'
import { hasRedis, type RunningRedis, startRedis } from '../servers/redis.ts'
import type { RunningServer, Setup } from '../servers/server.ts'
import { runLoad } from '../websocket-load.ts'
import type { Figures } from '../xmppload.ts'
import { faultsIn, type OwnRow, type Scale } from './row.ts'

/** What the nodes of a fleet share. */
type Shared = { readonly redis: RunningRedis; readonly database: RunningDatabase; readonly databaseUrl: string }

/** Chat between nodes. */
export type FleetChat = Pick<Setup, 'ledger'> & { readonly isKeptByNobody?: true }

type Kind = FleetChat & { readonly id: string; readonly title: string }

const KINDS: readonly Kind[] = [
  { id: 'cluster-durable', title: 'chat between nodes, ledger durable', ledger: 'durable' },
  { id: 'cluster-bare', title: 'chat between nodes that nobody keeps (XEP-0334)', ledger: 'durable', isKeptByNobody: true },
]

const NODES = [1, 2, 3] as const

/** Accounts in pairs, the two of each at different nodes of one, two and three: the same database and Redis, one after the other. */
export const clusterRows: readonly OwnRow[] = KINDS.map(
  ({ id, title, ...chat }): OwnRow => ({
    id,
    title: `${title}, plain TCP, built-in client; server CPU is that of the nodes`,
    unit: 'delivered message',
    figures: [
      ...(['oneNodeUs', 'twoNodesUs', 'threeNodesUs', 'twoNodesTimes', 'threeNodesTimes'] as const),
      ...(['hopsPerBatch', 'redisUs', 'databaseUs', 'perSecond', 'p50Ms', 'clientCpuUs', 'otherCpuSeconds'] as const),
    ],
    main: 'threeNodesUs',
    missing: whyNoFleet,
    runOwn: async ({ scale }) => {
      const runs: Figures[] = []
      for (const count of NODES) runs.push(await fleetChat(count, chat, scale))
      const [one, two, three] = runs.map((figures) => figures.server_cpu_ms_per_1000_delivered ?? Number.NaN)
      const last = runs.at(-1) ?? {}
      return {
        sample: {
          oneNodeUs: one,
          twoNodesUs: two,
          threeNodesUs: three,
          twoNodesTimes: (two ?? Number.NaN) / (one ?? Number.NaN),
          threeNodesTimes: (three ?? Number.NaN) / (one ?? Number.NaN),
          hopsPerBatch: last.hops_per_batch,
          redisUs: last.redis_cpu_ms_per_1000_delivered,
          databaseUs: last.database_cpu_ms_per_1000_delivered,
          perSecond: last.delivered_per_s,
          p50Ms: last.lat_p50_ms,
          clientCpuUs: last.client_cpu_ms_per_1000_delivered,
          otherCpuSeconds: last.other_cpu_s,
        },
        faults: runs.flatMap((figures, at) =>
          faultsIn(figures, ['lost', 'dup', 'reordered', 'failed_conns', 'error_stanzas']).map(
            (fault) => `${NODES[at]} nodes: ${fault}`,
          ),
        ),
      }
    },
  }),
)

/** How often something was added to the log; only the stand-in of the bench says. */
async function insertsSoFar(url: string): Promise<number | undefined> {
  const client = await new MongoClient(url).connect()
  try {
    const { commands } = await client.db().command({ benchCounts: 1 })
    return commands['insert log']
  } catch {
    return undefined
  } finally {
    await client.close()
  }
}

/** Why this machine has no fleet. */
export function whyNoFleet(): string | undefined {
  return hasRedis() ? undefined : 'redis-server is not here'
}

/** Starts a Redis and a database that has the accounts. */
async function share(accounts: number): Promise<Shared> {
  const redis = await startRedis()
  const database = await startDatabase()
  const shared = { redis, database, databaseUrl: database.urlOf(`bench-${process.pid}`) }
  const { nodes, end } = await startFleet({ count: 1, ledger: 'off', redisUrl: redis.url, databaseUrl: shared.databaseUrl })
  for (const node of nodes) await registerAccounts(targetOf(node), accounts)
  await end()
  return shared
}

async function endShared({ redis, database }: Shared): Promise<void> {
  await redis.end()
  await database.end()
}

/** Lets the accounts write to each other over so many nodes. All of it is new: after a node was lost, the next ones compare what is sent with what was sent before. */
export async function fleetChat(
  count: number,
  { ledger, isKeptByNobody }: FleetChat,
  scale: Pick<Scale, 'accounts' | 'window' | 'warmupSeconds' | 'seconds'>,
  nodeFlags: readonly string[] = [],
): Promise<Figures> {
  const shared = await share(scale.accounts)
  const { redis, database, databaseUrl } = shared
  let fleet: RunningFleet | undefined
  try {
    fleet = await startFleet({ count, ledger, redisUrl: redis.url, databaseUrl, nodeFlags })
    const { nodes } = fleet
    const [first] = nodes
    if (first === undefined) throw new Error('a fleet of no nodes')
    const before = await redis.counts()
    const { figures } = await runLoad({
      mode: 'chat',
      target: targetOf(first),
      mechanism: 'PLAIN',
      serverPid: first.pid,
      nodes: nodes.map((node) => ({ target: targetOf(node), pid: node.pid })),
      besides: { redis: redis.pid, database: database.pid },
      ...{ accounts: scale.accounts, window: scale.window, seconds: scale.seconds },
      // Each node learns to be quick by itself.
      warmupSeconds: scale.warmupSeconds * (count + 1),
      messages: 0,
      streamManagement: false,
      isKeptByNobody: isKeptByNobody === true,
    })
    const after = await redis.counts()
    const batches = (after.calls.spublish ?? 0) - (before.calls.spublish ?? 0)
    // A message that is kept is answered by the home of its recipient.
    const hops = (figures.delivered ?? 0) * (isKeptByNobody ? 1 : 2)
    const inserts = await insertsSoFar(databaseUrl)
    return {
      ...figures,
      ...(count > 1 && { hops_per_batch: hops / batches, batches }),
      ...(inserts !== undefined && { messages_per_commit: (figures.delivered ?? 0) / inserts }),
    }
  } finally {
    await fleet?.end()
    await endShared(shared)
  }
}

function targetOf({ ports, domain }: RunningServer): Target {
  return { kind: 'tcp', port: ports.c2s, domain }
}
