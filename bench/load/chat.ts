import { setTimeout as sleep } from 'node:timers/promises'
import { forEachIndex } from '../client/accounts.ts'
import type { Connection } from '../client/connection.ts'
import { eventLoopSeconds, type Roots, usageOf } from '../cpu.ts'
import { headingOf, messageWriter, NO_STORE } from './message.ts'
import { costs, percentiles, read, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { leave, sessionOf } from './sessions.ts'

const DRAIN_MS = 20_000

/** Accounts in pairs, both ways, each sender with so many messages under way: a delivery makes room for the next. */
export async function chat(options: LoadOptions): Promise<Record<string, number>> {
  const { target, window, nodes = [] } = options
  const server = nodes.length === 0 ? options.serverPid : nodes.map(({ pid }) => pid)
  const connections: Connection[] = []
  await forEachIndex(options.accounts & ~1, 50, async (index) => {
    const at = nodes[nodeOf(index, nodes.length)]?.target ?? target
    connections[index] = (await sessionOf({ ...options, target: at }, index, { resource: 'load', presence: true })).connection
  })
  const pairs = new Pairs(connections, target.domain, options.isKeptByNobody === true ? NO_STORE : undefined)
  await readWhenQuiet(server)

  pairs.begin(window)
  await sleep(options.warmupSeconds * 1000)
  pairs.latenciesMs.length = 0
  const deliveredBefore = pairs.delivered
  const besidesBefore = besidesNow(options)
  const loopBefore = loopsOf(server)
  const from = read(server)
  await sleep(options.seconds * 1000)
  pairs.sending = false
  await pairs.drained()
  const wallSeconds = (pairs.lastArrivalMs - from.atMs) / 1000
  const to = await readWhenQuiet(server)

  const besides = besidesNow(options)
  const loopSeconds = loopsOf(server) - loopBefore

  const units = pairs.delivered - deliveredBefore
  leave(connections)
  return {
    delivered: pairs.delivered,
    delivered_per_s: units / wallSeconds,
    lost: pairs.sent - pairs.delivered,
    dup: pairs.doubled,
    reordered: pairs.reordered,
    failed_conns: pairs.closed,
    error_stanzas: pairs.errors,
    ...percentiles('lat_', pairs.latenciesMs),
    ...costs('', '1000_delivered', from, to, units / 1000),
    loop_ms_per_1000_delivered: (loopSeconds * 1e6) / Math.max(units, 1),
    ...Object.fromEntries(
      Object.entries(besides).map(([name, seconds]) => [
        `${name}_cpu_ms_per_1000_delivered`,
        ((seconds - (besidesBefore[name] ?? 0)) * 1e6) / Math.max(units, 1),
      ]),
    ),
  }
}

const loopsOf = (server: Roots): number => [server].flat().reduce((sum, pid) => sum + eventLoopSeconds(pid), 0)

const besidesNow = ({ besides = {} }: LoadOptions): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(besides).map(([name, pid]) => [name, usageOf(pid).cpuSeconds]))

/** The two of a pair are at different nodes, and each node has as many of them. */
const nodeOf = (index: number, nodes: number): number => ((index >> 1) + (index & 1)) % Math.max(nodes, 1)

class Pairs {
  sending = true
  sent = 0
  delivered = 0
  doubled = 0
  reordered = 0
  errors = 0
  closed = 0
  lastArrivalMs = 0
  readonly latenciesMs: number[] = []
  readonly #run = 100_000 + Math.floor(Math.random() * 900_000)
  readonly #connections: readonly Connection[]
  readonly #write: readonly ((sequence: number) => string)[]
  readonly #nextToSend: number[]
  readonly #nextToArrive: number[]
  readonly #sentAtMs: Map<number, number>[]

  constructor(connections: readonly Connection[], domain: string, payload: string | undefined) {
    this.#connections = connections
    this.#write = connections.map((_, sender) => messageWriter(this.#run, sender, sender ^ 1, domain, payload))
    this.#nextToSend = connections.map(() => 0)
    this.#nextToArrive = connections.map(() => 0)
    this.#sentAtMs = connections.map(() => new Map())
    for (const connection of connections) {
      connection.onClose = () => this.closed++
      connection.onStanza = (xml) => {
        if (xml.startsWith('<message')) this.#arrive(xml)
      }
    }
  }

  begin(window: number): void {
    for (const sender of this.#connections.keys()) for (let at = 0; at < window; at++) this.#send(sender)
  }

  async drained(): Promise<void> {
    let before = -1
    let since = performance.now()
    while (this.delivered < this.sent && performance.now() - since < DRAIN_MS) {
      if (before !== this.delivered) since = performance.now()
      before = this.delivered
      await sleep(5)
    }
  }

  #send(sender: number): void {
    const sequence = this.#nextToSend[sender] ?? 0
    this.#nextToSend[sender] = sequence + 1
    this.#sentAtMs[sender]?.set(sequence, performance.now())
    this.sent++
    this.#connections[sender]?.send(this.#write[sender]?.(sequence) ?? '')
  }

  #arrive(xml: string): void {
    const heading = headingOf(xml)
    if (heading === undefined || heading.run !== this.#run || xml.includes('<error')) {
      this.errors++
      return
    }
    const { sender, sequence } = heading
    const sentAtMs = this.#sentAtMs[sender]?.get(sequence)
    if (sentAtMs === undefined) {
      this.doubled++
      return
    }
    this.#sentAtMs[sender]?.delete(sequence)
    if (sequence !== this.#nextToArrive[sender]) this.reordered++
    this.#nextToArrive[sender] = sequence + 1
    this.delivered++
    this.lastArrivalMs = performance.now()
    this.latenciesMs.push(this.lastArrivalMs - sentAtMs)
    if (this.sending) this.#send(sender)
  }
}
