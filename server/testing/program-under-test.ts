import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { expect } from 'vitest'
import type { Actor } from './actor.ts'
import { visit } from './visitor.ts'

const MAIN = join(import.meta.dirname, '../main.ts')
export const PASSWORD = 'a rose by any name'
/** A loaded machine takes its time to start a process. */
const START = { timeout: 60_000, interval: 20 }

/** A port that nobody has just now. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

type LogLine = Readonly<Record<string, unknown>> & { readonly event?: string }

/** The program as an operator starts it, in a folder of its own with a configuration of its own. */
export class ProgramUnderTest {
  readonly folder: string
  readonly log: LogLine[] = []
  readonly #admin: number
  #child: ChildProcessByStdio<null, Readable, Readable> | undefined
  #said = ''

  private constructor(folder: string, admin: number) {
    this.folder = folder
    this.#admin = admin
  }

  /** Writes the configuration; nothing is started. */
  static async configure(configuration: string): Promise<ProgramUnderTest> {
    const folder = mkdtempSync(join(tmpdir(), 'waxwing-program-'))
    const admin = await freePort()
    const listen = `listen: { c2s: ${await freePort()}, tls: off, http: off, admin: ${admin} }`
    mkdirSync(join(folder, 'data'))
    writeFileSync(
      join(folder, 'waxwing.yaml'),
      `data: ./data\n${listen}\nlogin: { allowPlainWithoutTls: true, scramIterations: 4096 }\n${configuration}\n`,
    )
    return new ProgramUnderTest(folder, admin)
  }

  /** Starts it; with `within`, by that command, which becomes it. */
  start(within: readonly string[] = []): void {
    const [program = '', ...args] = [...within, process.execPath, MAIN, 'serve']
    const child = spawn(program, args, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    const kill = (): boolean => child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
    child.stdout.resume()
    createInterface(child.stderr).on('line', (line) => {
      this.#said += `${line}\n`
      if (line.startsWith('{')) this.log.push(JSON.parse(line))
    })
  }

  /** Everything it has said to its operator so far. */
  get said(): string {
    return this.#said
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Resolves to the first line of its log with this event. */
  async says(event: string): Promise<LogLine> {
    await expect.poll(() => this.log.map((line) => line.event), START).toContain(event)
    return this.log.find((line) => line.event === event) ?? {}
  }

  async started(): Promise<void> {
    await this.says('server-started')
  }

  /** What it answers its operator. */
  async ask(path: string): Promise<{ readonly status: number; readonly text: string }> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#admin}${path}`)
      return { status: response.status, text: await response.text() }
    } catch {
      return { status: 0, text: '' }
    }
  }

  /** Resolves when it answers `/readyz` so. */
  async becomes(status: 200 | 503, text: RegExp = /./): Promise<void> {
    await expect.poll(() => this.ask('/readyz'), START).toMatchObject({ status, text: expect.stringMatching(text) })
  }

  /** The value of a metric. */
  async measure(name: string): Promise<number> {
    return Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm').exec((await this.ask('/metrics')).text)?.[1])
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Resolves to its exit code, or the signal that ended it. */
  async ended(): Promise<number | string> {
    const child = this.#child
    if (child === undefined) throw new Error('it was not started')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return child.exitCode ?? child.signalCode ?? ''
  }

  /** Ends it, if it runs, and removes its folder. */
  async remove(): Promise<void> {
    if (this.#child !== undefined) {
      this.signal('SIGKILL')
      await this.ended()
    }
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Runs another command of the program to its end, by another command if need be. */
  run(
    args: readonly string[],
    input = '',
    within: readonly string[] = [],
  ): Promise<{ readonly code: number; readonly said: string }> {
    const [program = '', ...all] = [...within, process.execPath, MAIN, ...args]
    return new Promise((resolve) => {
      const child = execFile(program, all, { cwd: this.folder }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, said: stdout + stderr }),
      )
      child.stdin?.end(input)
    })
  }

  async addAccount(name: string, within: readonly string[] = []): Promise<void> {
    const added = await this.run(['account', 'add', `${name}@localhost`, '--password-stdin'], `${PASSWORD}\n`, within)
    expect(added.said).toContain(name)
  }

  async visit(): Promise<Actor> {
    const port = (await this.says('server-started')).c2s
    return visit(Number(port))
  }

  /** Logs in and binds; tried again, since a fleet whose Redis is new gives no homes for a while. */
  async connect(name: string, resource: string): Promise<Actor> {
    for (let tries = 1; ; tries++)
      try {
        const actor = await this.visit()
        await actor.logsIn(name, PASSWORD)
        await actor.binds(resource)
        return actor
      } catch (error) {
        if (tries === 4) throw error
      }
  }
}
