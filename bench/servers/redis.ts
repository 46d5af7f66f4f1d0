import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { endProcess, freePort, makeFolder, startProcess, waitForPort } from '../processes.ts'

const PROGRAM = 'redis-server'

/** What Redis was asked to do, and what came in and went out, since it started. */
export type RedisCounts = {
  /** Calls by command, in lower case. */
  readonly calls: Readonly<Record<string, number>>
  readonly bytesIn: number
  readonly bytesOut: number
}

export type RunningRedis = {
  readonly url: string
  readonly pid: number
  readonly counts: () => Promise<RedisCounts>
  readonly end: () => Promise<void>
}

/** Whether this machine has a Redis. */
export const hasRedis = (): boolean => spawnSync(PROGRAM, ['--version']).status === 0

/** Starts a Redis of our own that writes nothing. */
export async function startRedis(): Promise<RunningRedis> {
  const folder = makeFolder('redis')
  const logFile = join(folder, 'bench.log')
  const port = await freePort()
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
  const child = startProcess({ file: PROGRAM, args, logFile })
  await waitForPort(port, child, logFile)
  const client = new Redis({ port, host: '127.0.0.1' })
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    async counts() {
      const commands = await client.info('commandstats')
      const stats = await client.info('stats')
      const statOf = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(stats)?.[1] ?? 0)
      const calls = [...commands.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', count]) => [name, Number(count)])
      return {
        calls: Object.fromEntries(calls) as Record<string, number>,
        bytesIn: statOf('total_net_input_bytes'),
        bytesOut: statOf('total_net_output_bytes'),
      }
    },
    async end() {
      client.disconnect()
      await endProcess(child)
    },
  }
}
