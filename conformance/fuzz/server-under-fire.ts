import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { endProcess, projectRoot } from '../server-process.ts'

/** A line of the server's log that says it has a fault. */
export interface Fault {
  readonly event: string
  readonly line: string
}

/** The server as a process of its own, watched from outside. */
export interface ServerUnderFire {
  readonly ports: { readonly c2s: number; readonly http: number }
  /** Whether the process has ended, and how. */
  readonly death: () => string | undefined
  readonly rssMiB: () => Promise<number>
  readonly stop: () => Promise<void>
}

const START_TIMEOUT_MS = 30_000
/** Sessions that lost their connection are kept this long. */
const RESUME_SECONDS = 2

/** A small heap, so that memory which is not given back shows soon, as growth or as the end of the process. */
const HEAP = ['--max-semi-space-size=8', '--max-old-space-size=160']

/** Starts the server; `onFault` hears of every line at level error or fatal, and of whatever is no log line at all. */
export const startServerUnderFire = async (domain: string, onFault: (fault: Fault) => void): Promise<ServerUnderFire> => {
  const data = await mkdtemp(join(tmpdir(), 'waxwing-fuzz-'))
  const args = [
    ...HEAP,
    'server/main.ts',
    'serve',
    '--dev',
    '--domain',
    domain,
    '--data',
    data,
    '--resume-timeout',
    String(RESUME_SECONDS),
  ]
  const child = spawn(process.execPath, [...args, '--port', '0', '--tls-port', '0', '--http-port', '0'], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let death: string | undefined
  child.once('exit', (code, signal) => {
    death = `the server ended with ${signal ?? `code ${code}`}`
  })
  createInterface(child.stderr).on('line', (line) => {
    const fault = faultOf(line)
    if (fault !== undefined) onFault(fault)
  })
  const ports = await readyPorts(child)
  return {
    ports,
    death: () => death,
    rssMiB: () => rssOf(child),
    async stop() {
      await endProcess(child)
      await rm(data, { recursive: true, force: true })
    },
  }
}

const faultOf = (line: string): Fault | undefined => {
  if (!line.startsWith('{')) return { event: 'not-a-log-line', line }
  const { level, event } = JSON.parse(line) as { readonly level?: string; readonly event?: string }
  return level === 'error' || level === 'fatal' ? { event: event ?? 'error', line } : undefined
}

const readyPorts = (child: ChildProcess): Promise<ServerUnderFire['ports']> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the server printed no ready line')), START_TIMEOUT_MS)
    child.once('exit', () => reject(new Error('the server did not start')))
    if (child.stdout !== null)
      createInterface(child.stdout).on('line', (line) => {
        if (!line.startsWith('{"ready":true')) return
        clearTimeout(timer)
        resolve((JSON.parse(line) as { readonly ports: ServerUnderFire['ports'] }).ports)
      })
  })

const rssOf = async (child: ChildProcess): Promise<number> => {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(child.pid)])
  return Number(stdout) / 1024
}
