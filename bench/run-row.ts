import { join } from 'node:path'
import type { Mechanism } from './client/login.ts'
import { folderWithAccounts } from './data-folders.ts'
import { dropFolder, tailOf } from './processes.ts'
import type { AnyRow, Outcome, Scale } from './scenarios/row.ts'
import type { Launcher, RunningServer } from './servers/server.ts'

/** Runs a row once on a server that is started for it, on fresh data, and ended after it. */
export async function runRow(row: AnyRow, launcher: Launcher, scale: Scale, xmppload: string | undefined): Promise<Outcome> {
  if ('runOwn' in row) return row.runOwn({ scale, xmppload }).catch((error: unknown) => failure(error, ''))
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
    return failure(error, folder === undefined ? '' : tailOf(join(folder, 'bench.log')).trim())
  } finally {
    await server?.end()
    if (folder !== undefined) dropFolder(folder)
  }
}

function failure(error: unknown, log: string): Outcome {
  const reason = error instanceof Error ? error.message : String(error)
  return { sample: {}, faults: [`failed: ${reason}`, log].filter((text) => text !== '') }
}
