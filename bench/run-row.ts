import { join } from 'node:path'
import type { Mechanism } from './client/login.ts'
import { folderWithAccounts } from './data-folders.ts'
import { dropFolder, tailOf } from './processes.ts'
import type { Outcome, Row, Scale } from './scenarios/row.ts'
import type { Launcher, RunningServer } from './servers/server.ts'

/** Runs a row once on a server that is started for it, on fresh data, and ended after it. */
export async function runRow(row: Row, launcher: Launcher, scale: Scale, xmppload: string | undefined): Promise<Outcome> {
  const mechanism: Mechanism = launcher.mechanism
  let folder: string | undefined
  let server: RunningServer | undefined
  try {
    const data = await folderWithAccounts(launcher, row.setup, row.accounts(scale))
    folder = data
    const started = await launcher.start(row.setup, data)
    server = started
    const killAndRestart = async () => {
      await started.end('SIGKILL')
      server = await launcher.start(row.setup, data, started.ports)
      return server
    }
    return await row.run({ server: started, launcher, mechanism, scale, xmppload, killAndRestart })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const log = folder === undefined ? '' : tailOf(join(folder, 'bench.log')).trim()
    return { sample: {}, faults: [`failed: ${reason}`, log].filter((text) => text !== '') }
  } finally {
    await server?.end()
    if (folder !== undefined) dropFolder(folder)
  }
}
