import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The folder of the project. */
export const projectRoot: string = dirname(dirname(fileURLToPath(import.meta.url)))

/** How a server under test is to be started. */
export type ServerOptions = {
  readonly domain?: string
  /** Seconds a session stays resumable (XEP-0198). */
  readonly resumeTimeoutSeconds?: number
}

/** A server under test: a process of its own, reached through its sockets only. */
export type ServerProcess = {
  readonly domain: string
  readonly ports: { readonly c2s: number; readonly tls: number; readonly http: number }
  /** The certificate authority a client must trust, as a PEM file. */
  readonly caFile: string
  readonly adminPassword: string
  /** Makes an account while the server runs. */
  readonly addAccount: (bareJid: string, password: string) => Promise<void>
  /** The end of what the server wrote. */
  readonly logTail: () => string
  /** Stops the server gracefully and removes what it stored. */
  readonly stop: () => Promise<void>
}

type Ready = {
  readonly ready: boolean
  readonly domain: string
  readonly ports: ServerProcess['ports']
  readonly ca: string
}

/** The password of every started server's administrator. */
export const adminPassword = 'Wherefore-4rt-thou'
const startTimeoutMs = 30_000
const stopTimeoutMs = 15_000
const keptLogLines = 400

/** Starts a Waxwing of its own, thrown away with its data when it stops. */
export const startWaxwing = async (options: ServerOptions): Promise<ServerProcess> => {
  const data = await mkdtemp(join(tmpdir(), 'waxwing-conformance-'))
  const args = ['serve', '--dev', '--domain', options.domain ?? 'localhost', '--data', data]
  args.push('--port', '0', '--tls-port', '0', '--http-port', '0', '--admin-password', adminPassword)
  if (options.resumeTimeoutSeconds !== undefined) args.push('--resume-timeout', String(options.resumeTimeoutSeconds))

  const child = spawn(nodeBinary(), ['server/main.ts', ...args], { cwd: projectRoot, stdio: ['ignore', 'pipe', 'pipe'] })
  const logTail = keepTail(child)
  const ready = await readyLine(child, logTail)
  return {
    domain: ready.domain,
    ports: ready.ports,
    caFile: ready.ca,
    adminPassword,
    logTail,
    addAccount: (bareJid, password) =>
      runToEnd(nodeBinary(), ['server/main.ts', 'account', 'add', bareJid, '--password-stdin', '--data', data], password),
    stop: async () => {
      await endProcess(child)
      await rm(data, { recursive: true, force: true })
    },
  }
}

// The sources need Node 24; a suite started by an older Node still starts the server on the pinned one.
const nodeBinary = (): string => {
  const pinned = join(projectRoot, 'node_modules', '.bin', 'node')
  return existsSync(pinned) ? pinned : process.execPath
}

const readyLine = (child: ChildProcess, logTail: () => string): Promise<Ready> =>
  new Promise((resolve, reject) => {
    const fail = (why: string) => {
      child.kill('SIGKILL')
      reject(new Error(`the server ${why}\n${logTail()}`))
    }
    const timer = setTimeout(() => fail('printed no ready line in time'), startTimeoutMs)
    child.once('error', (error) => fail(`did not start: ${error.message}`))
    child.once('exit', (code) => fail(`ended with code ${code} before it was ready`))
    if (child.stdout === null) return fail('has no standard output')
    createInterface(child.stdout).on('line', (line) => {
      if (!line.startsWith('{"ready":true')) return
      clearTimeout(timer)
      child.removeAllListeners('exit')
      resolve(JSON.parse(line) as Ready)
    })
  })

/** Keeps the last lines of what a process writes. */
export const keepTail = (child: ChildProcess): (() => string) => {
  const lines: string[] = []
  for (const output of [child.stdout, child.stderr]) {
    if (output === null) continue
    createInterface(output).on('line', (line) => {
      lines.push(line)
      if (lines.length > keptLogLines) lines.shift()
    })
  }
  return () => lines.join('\n')
}

/** Ends a process by SIGTERM, and by SIGKILL when it does not obey. */
export const endProcess = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })

/** Runs a command to its end, feeding it one text, and throws what it complained about when it fails. */
export const runToEnd = (command: string, args: readonly string[], input = ''): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: projectRoot, stdio: ['pipe', 'pipe', 'pipe'] })
    const said: string[] = []
    child.stdout.on('data', (chunk) => said.push(String(chunk)))
    child.stderr.on('data', (chunk) => said.push(String(chunk)))
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args.join(' ')} ended with code ${code}\n${said.join('')}`)),
    )
    child.stdin.end(input)
  })
