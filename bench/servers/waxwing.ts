import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { endProcess, startProcess, tailOf } from '../processes.ts'
import type { Launcher, Ports, RunningServer } from './server.ts'
import { DOMAIN } from './server.ts'

const PROJECT = join(import.meta.dirname, '../..')
const MAIN = join(PROJECT, 'server/waxwing.mjs')

type Ready = {
  readonly ready: true
  readonly pid: number
  readonly domain: string
  readonly ports: { readonly c2s: number; readonly tls: number; readonly http: number }
}

/** Starts Waxwing as a stranger would: `waxwing serve --dev`; `nodeFlags` are for the profiler. */
export const waxwing = (nodeFlags: readonly string[] = []): Launcher => ({
  name: 'waxwing',
  mechanism: 'PLAIN',
  missing: () => (existsSync(MAIN) ? undefined : `${MAIN} is not there`),
  suits: () => true,
  // The kill rows store more for one absent account than a server should let strangers do.
  start: (setup, folder, ports) =>
    startWaxwing({ folder, config: { ledger: { mode: setup.ledger, maxPendingPerAccount: 1_000_000 } }, ports, nodeFlags }),
})

/** How a Waxwing is to be started. */
export type WaxwingOptions = {
  readonly folder: string
  /** What its configuration says; JSON is YAML, too. */
  readonly config: unknown
  readonly ports?: Ports | undefined
  readonly nodeFlags?: readonly string[]
}

/** Starts a Waxwing with a configuration of its own. */
export async function startWaxwing({ folder, config, ports, nodeFlags = [] }: WaxwingOptions): Promise<RunningServer> {
  const configFile = join(folder, 'bench.yaml')
  writeFileSync(configFile, JSON.stringify(config))
  const logFile = join(folder, 'bench.log')
  const { c2s, tls, http } = ports ?? { c2s: 0, tls: 0, http: 0 }
  const args = [
    ...nodeFlags,
    ...[MAIN, 'serve', '--dev', '--domain', DOMAIN, '--config', configFile, '--data', join(folder, 'data')],
    ...['--port', `${c2s}`, '--tls-port', `${tls}`, '--http-port', `${http}`],
  ]
  const child = startProcess({ file: process.execPath, args, cwd: PROJECT, logFile })
  if (child.stdout === null) throw new Error('no standard output')
  const lines = createInterface(child.stdout)
  const ready = new Promise<Ready>((resolve) => {
    lines.on('line', (line) => {
      if (line.includes('"ready"')) resolve(JSON.parse(line) as Ready)
    })
  })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`waxwing ended before it was ready:\n${tailOf(logFile)}`)
  })
  const { pid, domain, ports: bound } = await Promise.race([ready, ended])
  ended.catch(() => undefined) // it ends later, when we end it
  return {
    name: 'waxwing',
    pid,
    domain,
    ports: bound,
    websocketUrl: `ws://127.0.0.1:${bound.http}/xmpp-websocket`,
    end: (signal) => endProcess(child, signal),
  }
}
