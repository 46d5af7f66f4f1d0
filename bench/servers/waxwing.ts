import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { endProcess, startProcess, tailOf } from '../processes.ts'
import type { Launcher, RunningServer } from './server.ts'
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
  async start(setup, folder, ports): Promise<RunningServer> {
    const config = join(folder, 'bench.yaml')
    // The kill rows store more for one absent account than a server should let strangers do.
    writeFileSync(config, `ledger:\n  mode: ${setup.ledger}\n  maxPendingPerAccount: 1000000\n`)
    const logFile = join(folder, 'bench.log')
    const { c2s, tls, http } = ports ?? { c2s: 0, tls: 0, http: 0 }
    const child = startProcess({
      file: process.execPath,
      args: [
        ...nodeFlags,
        ...[MAIN, 'serve', '--dev', '--domain', DOMAIN, '--config', config, '--data', join(folder, 'data')],
        ...['--port', `${c2s}`, '--tls-port', `${tls}`, '--http-port', `${http}`],
      ],
      cwd: PROJECT,
      logFile,
    })
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
  },
})
