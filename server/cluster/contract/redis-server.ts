import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

/** A Redis of the tests' own, which they may stop, kill and start again. */
export interface RedisServer {
  readonly url: string
  readonly pid: () => number
  /** Asks it something by a connection of its own. */
  ask(...command: readonly [string, ...(string | Buffer)[]]): Promise<unknown>
  start(): Promise<void>
  kill(): Promise<void>
  stop(): Promise<void>
}

const PROGRAM = 'redis-server'

/** Whether there is a `redis-server` on this machine. */
export const hasRedis = spawnSync(PROGRAM, ['--version']).status === 0

/** Starts a Redis on a free port with a folder of its own; `cluster` makes it a Redis Cluster of one server, which minds hash tags as one of many does. */
export const redisServer = async (kind: 'single' | 'cluster' = 'single'): Promise<RedisServer> => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-redis-'))
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
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
    url,
    pid: () => child?.pid ?? 0,
    async ask(name, ...args) {
      const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null })
      client.on('error', () => {})
      await client.connect()
      try {
        return await client.call(name, args)
      } finally {
        client.disconnect()
      }
    },
    async start() {
      const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--cluster-enabled']
      const running = spawn(PROGRAM, [...options, kind === 'cluster' ? 'yes' : 'no'], { stdio: ['ignore', 'pipe', 'ignore'] })
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
  if (kind === 'cluster') {
    await server.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    while (!String(await server.ask('CLUSTER', 'INFO')).includes('cluster_state:ok')) await new Promise(setImmediate)
  }
  return server
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
