/**
 * What a message from one node to another costs: CPU of both processes and of Redis, and latency, for messages of 400 bytes sent one by one and in batches.
 * The ways through Redis are measured bare, which decided between them (docs/decisions/0013-the-bus-between-nodes.md); the buses as they are. Run: node bench/micro/bus.ts
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { systemClock } from '#server/base/clock.ts'
import { nullLog } from '#server/base/log.ts'
import { redisServer } from '#server/cluster/contract/redis-server.ts'
import { NodeLease } from '#server/cluster/node-lease.ts'
import { connectRedis } from '#server/cluster/redis.ts'
import { openRedisBus } from '#server/cluster/redis-bus.ts'
import { openRedisHomes } from '#server/cluster/redis-homes.ts'
import { openUnixBus } from '#server/cluster/unix-bus.ts'
import type { Bus } from '#server/core/bus.ts'
import { wire } from '#stanzas/wire.ts'

const WAYS = ['publish', 'spublish', 'stream', 'redis bus', 'unix bus'] as const
type Way = (typeof WAYS)[number]
type Usage = { readonly micros: number; readonly latencyMs: number }

const MESSAGE_BYTES = 400
const BATCHES = [1, 20] as const
const MESSAGES = { 1: 20_000, 20: 200_000 } as const
const PINGS = 2_000
/** Batches that are on their way at once, where they are batches; a bus makes its own of what is sent in one turn. */
const WINDOW = 4
const CLAIMS = 20_000
const CLAIMS_AT_ONCE = 64
const LOOKS = 5_000_000
const ROUNDS = 3

/** A way there and back between two processes; `take` gets how many messages came. */
interface Line {
  /** Resolves when it is on its way. */
  send(messages: number): Promise<unknown>
  ping(): Promise<unknown>
}

const bare = async (way: Way, url: string, isSender: boolean, take: (messages: number) => void): Promise<Line> => {
  const [here, there] = isSender ? ['{a}', '{b}'] : ['{b}', '{a}']
  const options = { enableAutoPipelining: false }
  const [client, reader] = [new Redis(url, options), new Redis(url, options)]
  const send = (bytes: Buffer): Promise<unknown> =>
    way === 'publish'
      ? client.publish(there, bytes)
      : way === 'spublish'
        ? client.spublish(there, bytes)
        : client.xadd(there, 'MAXLEN', '~', 1_000_000, '*', 'b', bytes)
  let pong = (): void => {}
  const came = (bytes: Buffer): void => {
    if (bytes.length >= MESSAGE_BYTES) take(bytes.length / MESSAGE_BYTES)
    else if (isSender) pong()
    else void send(bytes)
  }
  if (way === 'publish') {
    await reader.subscribe(here)
    reader.on('messageBuffer', (_: Buffer, bytes: Buffer) => came(bytes))
  } else if (way === 'spublish') {
    await reader.ssubscribe(here)
    reader.on('smessageBuffer', (_: Buffer, bytes: Buffer) => came(bytes))
  } else void readStream(reader, here, came)
  return {
    send: (messages) => send(Buffer.alloc(messages * MESSAGE_BYTES, 'x')),
    ping: () =>
      new Promise<void>((resolve) => {
        pong = resolve
        void send(Buffer.from('p'))
      }),
  }
}

const readStream = async (reader: Redis, key: string, came: (bytes: Buffer) => void): Promise<void> => {
  let last = '0-0'
  for (;;) {
    const answer = await reader.xreadBuffer('COUNT', 100, 'BLOCK', 0, 'STREAMS', key, last)
    const streams = (answer instanceof Map ? [...answer] : (answer ?? [])) as [Buffer, [Buffer, Buffer[]][]][]
    for (const [, entries] of streams)
      for (const [id, [, bytes]] of entries) {
        last = id.toString()
        if (bytes !== undefined) came(bytes)
      }
  }
}

const openBus = async (way: Way, place: string, isSender: boolean): Promise<Bus> => {
  const [name, epoch] = isSender ? ['sender', 1] : ['receiver', 2]
  const common = { clock: systemClock, log: nullLog }
  if (way === 'unix bus') return openUnixBus({ ...common, folder: place, self: { name, epoch } })
  const redis = await connectRedis(place)
  const fleet = { ...common, redis, fleet: 'bench', settleMs: 0 }
  return openRedisBus({ ...fleet, lease: await NodeLease.join({ ...fleet, name }) })
}

const overBus = async (bus: Bus, take: (messages: number) => void): Promise<Line> => {
  const payload = wire('x'.repeat(MESSAGE_BYTES))
  bus.onMessage('note', () => take(1))
  bus.onRequest('ping', (_, ping) => ping)
  while (bus.peers().length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  return {
    async send(messages) {
      const [peer] = bus.peers()
      if (peer === undefined) throw new Error('nobody is there')
      for (let sent = 0; sent < messages; sent += 1) while (!bus.send(peer, 'note', payload)) await new Promise(setImmediate)
      await new Promise(setImmediate)
    },
    async ping() {
      const [peer] = bus.peers()
      if (peer !== undefined) await bus.request(peer, 'ping', wire(''))
    },
  }
}

const cpuMicros = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** In a child: does what the parent says, and answers what it cost. */
const work = async (way: Way, place: string, isSender: boolean): Promise<void> => {
  let expected = Number.POSITIVE_INFINITY
  let came = 0
  const tell = (message: unknown): void => void process.send?.(message)
  const take = (messages: number): void => {
    came += messages
    if (came >= expected) tell('came')
  }
  const line =
    way === 'redis bus' || way === 'unix bus'
      ? await overBus(await openBus(way, place, isSender), take)
      : await bare(way, place, isSender, take)
  let before = 0
  process.on('message', async (order: { readonly expect?: number; readonly send?: number; readonly batch?: number }) => {
    if (order.expect !== undefined) {
      came = 0
      expected = order.expect
      before = cpuMicros()
      tell('ready')
    } else if (order.send !== undefined) {
      const batch = order.batch ?? 1
      const running: Promise<unknown>[] = []
      const window = batch === 1 || way.endsWith('bus') ? 1 : WINDOW
      before = cpuMicros()
      for (let sent = 0; sent < order.send; sent += batch) {
        running.push(line.send(batch))
        if (running.length >= window) await running.shift()
      }
      await Promise.all(running)
      tell('sent')
    } else if (order.batch === 0) {
      const startedMs = performance.now()
      for (let ping = 0; ping < PINGS; ping += 1) await line.ping()
      tell({ latencyMs: (performance.now() - startedMs) / PINGS / 2, micros: 0 })
    } else tell({ micros: cpuMicros() - before, latencyMs: 0 })
  })
  process.on('disconnect', () => process.exit())
  tell('up')
}

const answer = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.once('message', resolve))
const asked = (child: ChildProcess, order: object): Promise<unknown> => {
  const reply = answer(child)
  child.send(order)
  return reply
}
const usage = async (child: ChildProcess, order: object = {}): Promise<Usage> => (await asked(child, order)) as Usage

const measure = async (way: Way, url: string, redisMicros: () => Promise<number>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'bus-'))
  const place = way === 'unix bus' ? folder : url
  const [sender, receiver] = ['sender', 'receiver'].map((role) => fork(import.meta.filename, [role, way, place]))
  if (sender === undefined || receiver === undefined) return
  await Promise.all([answer(sender), answer(receiver)])
  const { latencyMs } = await usage(sender, { batch: 0 })
  for (const batch of BATCHES) {
    const rounds: (readonly number[])[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const messages = MESSAGES[batch]
      await asked(receiver, { expect: messages })
      const redisBefore = await redisMicros()
      const allCame = answer(receiver)
      await Promise.all([asked(sender, { send: messages, batch }), allCame])
      const redis = (await redisMicros()) - redisBefore
      const costs = [(await usage(sender)).micros, (await usage(receiver)).micros, way === 'unix bus' ? 0 : redis]
      rounds.push(costs.map((cost) => cost / messages))
    }
    const sum = (costs: readonly number[]): number => costs.reduce((all, cost) => all + cost, 0)
    const middle = rounds.sort((one, other) => sum(one) - sum(other))[1] ?? []
    const cells = [...middle, sum(middle)].map((cost) => cost.toFixed(1))
    console.log(`| ${way} | ${batch} | ${cells.join(' | ')} | ${latencyMs.toFixed(2)} |`)
  }
  sender.kill()
  receiver.kill()
  rmSync(folder, { recursive: true })
}

/** What the directory of homes costs: a claim of an address that nobody has, and a look at one that is known. */
const measureHomes = async (url: string, redisMicros: () => Promise<number>): Promise<void> => {
  const redis = await connectRedis(url)
  const fleet = { redis, fleet: 'homes', settleMs: 0, clock: systemClock, log: nullLog }
  const lease = await NodeLease.join({ ...fleet, name: 'bench' })
  const homes = openRedisHomes({ ...fleet, lease, bus: await openRedisBus({ ...fleet, lease }) })
  const addressOf = (claim: number): string => `account${claim}@verona.example`
  let next = 0
  const claimAll = async (): Promise<void> => {
    while (next < CLAIMS) {
      next += 1
      await homes.claim(addressOf(next))
    }
  }
  const [before, redisBefore, startedMs] = [cpuMicros(), await redisMicros(), performance.now()]
  await Promise.all(Array.from({ length: CLAIMS_AT_ONCE }, claimAll))
  const [ours, theirs] = [cpuMicros() - before, (await redisMicros()) - redisBefore]
  const perSecond = Math.round((CLAIMS / (performance.now() - startedMs)) * 1_000).toLocaleString('en')
  console.log(`claim: ${(ours / CLAIMS).toFixed(1)} µs here, ${(theirs / CLAIMS).toFixed(1)} in Redis, ${perSecond}/s`)
  const beforeLooks = cpuMicros()
  for (let look = 0; look < LOOKS; look += 1) homes.known('account7@verona.example')
  console.log(`known: ${(((cpuMicros() - beforeLooks) / LOOKS) * 1_000).toFixed(0)} ns`)
  await lease.leave()
  await redis.close()
}

const main = async (): Promise<void> => {
  const server = await redisServer()
  const redisMicros = async (): Promise<number> => {
    const info = String(await server.ask('INFO', 'cpu'))
    const seconds = ['sys', 'user'].map((kind) => Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)?.[1] ?? 0))
    return seconds.reduce((all, one) => all + one * 1e6, 0)
  }
  console.log('| way | messages a batch | µs CPU sender | receiver | Redis | in all | ms one way |')
  console.log('|---|---|---|---|---|---|---|')
  for (const way of WAYS) await measure(way, server.url, redisMicros)
  console.log()
  await measureHomes(server.url, redisMicros)
  await server.stop()
  process.exit()
}

const [role, way, place = ''] = process.argv.slice(2)
const known = WAYS.find((each) => each === way)
if (role === 'sender' || role === 'receiver') {
  if (known !== undefined) await work(known, place, role === 'sender')
} else await main()
