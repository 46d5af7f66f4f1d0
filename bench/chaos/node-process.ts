import type { ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endProcess, freePort, startProcess, waitForPort } from '../processes.ts'
import { DOMAIN, RESUME_MS } from './options.ts'

const PROJECT = join(import.meta.dirname, '../..')
/** How a node ends that is one no more. */
const EXIT_FENCED = 75
/** As a service manager waits before it starts a service again. */
const RESTART_MS = 300
const START_WITHIN_MS = 120_000

/** What a node tells of its life. */
export type NodeEvent = 'up' | 'killed' | 'stopped' | 'continued' | 'fenced' | 'ended'

export type OnNodeEvent = (event: NodeEvent, node: NodeProcess, detail?: string) => void

/** One Waxwing process, at an address of its own that it comes back to, and with a data folder of its own. */
export class NodeProcess {
  readonly name: string
  readonly port: number
  readonly logFile: string
  /** How often it found that it was a node no more. */
  fenced = 0
  /** How it ended when nobody had told it to. */
  readonly deaths: string[] = []
  readonly #configFile: string
  readonly #onEvent: OnNodeEvent
  #child: ChildProcess | undefined
  #isWanted = true

  private constructor(name: string, port: number, folder: string, onEvent: OnNodeEvent) {
    this.name = name
    this.port = port
    this.#onEvent = onEvent
    this.logFile = join(folder, `${name}.log`)
    this.#configFile = join(folder, `${name}.yaml`)
  }

  static async create(options: {
    readonly name: string
    readonly folder: string
    readonly databaseUrl: string
    readonly redisUrl: string
    readonly onEvent: OnNodeEvent
  }): Promise<NodeProcess> {
    const { name, folder, databaseUrl, redisUrl, onEvent } = options
    const node = new NodeProcess(name, await freePort(), folder, onEvent)
    mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(node.#configFile, configurationOf(node, join(folder, name), databaseUrl, redisUrl))
    await node.start()
    return node
  }

  /** Starts it, and resolves when it listens. */
  async start(): Promise<void> {
    this.#isWanted = true
    const child = startProcess({
      file: process.execPath,
      args: [join(PROJECT, 'server/main.ts'), 'serve', '--config', this.#configFile],
      cwd: PROJECT,
      logFile: this.logFile,
    })
    this.#child = child
    child.stdout?.resume()
    child.once('exit', (code, signal) => this.#ended(child, code, signal))
    await waitForPort(this.port, child, this.logFile, START_WITHIN_MS)
    this.#onEvent('up', this)
  }

  async kill(): Promise<void> {
    this.#isWanted = false
    this.#onEvent('killed', this)
    if (this.#child !== undefined) await endProcess(this.#child, 'SIGKILL')
  }

  /** Stops it for a time, as a machine does that swaps or is suspended. */
  async stopFor(ms: number): Promise<void> {
    const child = this.#child
    this.#onEvent('stopped', this)
    child?.kill('SIGSTOP')
    await sleep(ms)
    this.#onEvent('continued', this)
    child?.kill('SIGCONT')
  }

  /** Ends it for good, politely. */
  async end(): Promise<void> {
    this.#isWanted = false
    if (this.#child !== undefined) await endProcess(this.#child)
  }

  copyLog(folder: string): void {
    copyFileSync(this.logFile, join(folder, `${this.name}.log`))
  }

  /** How often it logged each event that is an error. */
  errors(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const line of readFileSync(this.logFile, 'utf8').split('\n')) {
      if (!/"level":("error"|"fatal"|[56]0)/.test(line)) continue
      const event = /"(?:event|msg)":"([^"]*)"/.exec(line)?.[1] ?? line.slice(0, 100)
      counts.set(event, (counts.get(event) ?? 0) + 1)
    }
    return counts
  }

  #ended(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (!this.#isWanted || child !== this.#child) return
    const how = code === null ? `signal ${signal}` : `code ${code}`
    if (code === EXIT_FENCED) this.fenced++
    else this.deaths.push(how)
    this.#onEvent(code === EXIT_FENCED ? 'fenced' : 'ended', this, how)
    setTimeout(() => {
      // One that ends again before it listens says so by its end, and is started again by that.
      if (this.#isWanted) this.start().catch(() => undefined)
    }, RESTART_MS)
  }
}

const configurationOf = (
  { name, port }: NodeProcess,
  data: string,
  databaseUrl: string,
  redisUrl: string,
): string => `domain: ${DOMAIN}
data: ${data}
store: { driver: mongodb, url: '${databaseUrl}' }
cluster: { redis: '${redisUrl}', node: ${name} }
listen: { address: [127.0.0.1], c2s: ${port}, tls: 'off', http: 'off', https: 'off', admin: 'off' }
limits: { rates: false }
login: { allowPlainWithoutTls: true }
streamManagement: { resumeTimeout: ${RESUME_MS / 1000}s }
log: { level: debug, format: json }
modules:
  registration: { mode: open, minPasswordLength: 1 }
`
