import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const folders: string[] = []
const children = new Set<ChildProcess>()

/** Makes a folder of our own that is removed when the bench ends. */
export function makeFolder(label: string): string {
  const folder = mkdtempSync(join(tmpdir(), `waxwing-bench-${label}-`))
  folders.push(folder)
  return folder
}

/** Removes a folder before the bench ends, so that long runs do not fill the disk. */
export function dropFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

/** Finds a port on loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

export type Command = {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly logFile: string
}

/** Starts a server process whose standard error goes to its log file; standard output is a pipe. */
export function startProcess({ file, args, env, cwd, logFile }: Command): ChildProcess {
  const log = openSync(logFile, 'a')
  const child = spawn(file, [...args], { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', log] })
  adopt(child)
  return child
}

/** Makes sure that a child does not outlive the bench. */
export function adopt(child: ChildProcess): void {
  children.add(child)
  child.once('exit', () => children.delete(child))
}

/** Ends a process we started, first politely, and waits until it is gone. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  const impatience = setTimeout(() => child.kill('SIGKILL'), 15_000)
  await gone
  clearTimeout(impatience)
}

/** Waits until something answers on the port, or says what the process's log ends with. */
export async function waitForPort(port: number, child: ChildProcess, logFile: string, timeoutMs = 60_000): Promise<void> {
  const until = Date.now() + timeoutMs
  while (!(await answers(port))) {
    const ended = child.exitCode !== null || child.signalCode !== null
    if (ended || Date.now() > until) {
      throw new Error(`${ended ? 'the server ended' : 'no answer'} before port ${port} was open:\n${tailOf(logFile)}`)
    }
    await sleep(30)
  }
}

/** The last lines of a log, for error messages. */
export function tailOf(logFile: string): string {
  if (!existsSync(logFile)) return ''
  return readFileSync(logFile, 'utf8').split('\n').slice(-15).join('\n')
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  for (const folder of folders) dropFolder(folder)
})
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => process.exit(code))
}
