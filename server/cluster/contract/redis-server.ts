import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { until } from './until.ts'

/** A Redis of the tests' own. */
export interface RedisPlace {
  readonly url: string
  /** Asks it something by a connection of its own. */
  ask(...command: readonly [string, ...(string | Buffer)[]]): Promise<unknown>
  stop(): Promise<void>
}

/** One server, which tests may stop, kill and start again. */
export interface RedisServer extends RedisPlace {
  readonly port: number
  readonly pid: () => number
  start(): Promise<void>
  kill(): Promise<void>
}

const PROGRAM = 'redis-server'

/** Whether there is a `redis-server` on this machine. */
export const hasRedis = spawnSync(PROGRAM, ['--version']).status === 0

/** Starts a Redis on a free port with a folder of its own. It writes nothing unless it is told to `SAVE`. */
export const redisServer = async (...options: readonly string[]): Promise<RedisServer> => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-redis-'))
  const port = await freePort()
  let child: ChildProcess | undefined
  const kill = async (): Promise<void> => {
    const running = child
    if (running === undefined) return
    child = undefined
    const gone = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
    await gone
  }
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: () => child?.pid ?? 0,
    ask: (name, ...args) => ask(port, name, args),
    async start() {
      const common = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
      const running = spawn(PROGRAM, [...common, ...options], { stdio: ['ignore', 'pipe', 'ignore'] })
      child = running
      process.once('exit', () => running.kill('SIGKILL'))
      await ready(running)
    },
    kill,
    async stop() {
      await kill()
      await rm(folder, { recursive: true })
    },
  }
  await server.start()
  return server
}

/** Starts a Redis Cluster of three servers, each with a third of the keys. */
export const redisCluster = async (): Promise<RedisPlace> => {
  const options = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']
  const servers = await Promise.all([redisServer(...options), redisServer(...options), redisServer(...options)])
  const [first] = servers
  for (const [index, { ask, port }] of servers.entries()) {
    const [from, to] = [Math.ceil((index * 16_384) / 3), Math.ceil(((index + 1) * 16_384) / 3) - 1]
    await ask('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
    if (port !== first.port) await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(port))
  }
  const knowsAll = async ({ ask }: RedisServer): Promise<boolean> => {
    const info = String(await ask('CLUSTER', 'INFO'))
    return info.includes('cluster_state:ok') && info.includes('cluster_size:3')
  }
  for (const server of servers) await until(() => knowsAll(server), 'a cluster')
  return { url: first.url, ask: first.ask, stop: async () => void (await Promise.all(servers.map((server) => server.stop()))) }
}

const ask = async (port: number, name: string, args: readonly (string | Buffer)[]): Promise<unknown> => {
  const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.call(name, [...args])
  } catch (error) {
    const [, elsewhere] = /^MOVED \d+ \S*:(\d+)$/.exec(error instanceof Error ? error.message : '') ?? []
    if (elsewhere === undefined) throw error
    return await ask(Number(elsewhere), name, args)
  } finally {
    client.disconnect()
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

const ready = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    let said = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('Ready to accept connections')) resolve()
    })
    child.once('exit', () => reject(new Error(`Redis did not start: ${said}`)))
  })
