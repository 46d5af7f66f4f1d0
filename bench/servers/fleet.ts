import { makeFolder } from '../processes.ts'
import type { RunningServer, Setup } from './server.ts'
import { startWaxwing } from './waxwing.ts'

/** Nodes of one fleet, on one machine. */
export type RunningFleet = {
  readonly nodes: readonly RunningServer[]
  readonly end: () => Promise<void>
}

export type FleetOptions = {
  readonly count: number
  readonly ledger: Setup['ledger']
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly nodeFlags?: readonly string[]
}

/** Starts so many nodes that share a Redis and a database. */
export async function startFleet({ count, ledger, redisUrl, databaseUrl, nodeFlags }: FleetOptions): Promise<RunningFleet> {
  const nodes: RunningServer[] = []
  const end = async () => {
    for (const node of nodes) await node.end()
  }
  try {
    // One after the other: the first brings the database's layout up to date.
    for (let at = 1; at <= count; at++)
      nodes.push(
        await startWaxwing({
          folder: makeFolder(`node-${at}`),
          config: {
            ledger: { mode: ledger },
            // What a password costs is not measured here.
            login: { scramIterations: 4096 },
            store: { driver: 'mongodb', url: databaseUrl },
            cluster: { redis: redisUrl, node: `node-${at}` },
          },
          nodeFlags: nodeFlags ?? [],
        }),
      )
    return { nodes, end }
  } catch (error) {
    await end()
    throw error
  }
}
