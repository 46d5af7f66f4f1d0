import type { Mechanism } from './client/login.ts'
import { folderWithAccounts } from './data-folders.ts'
import { dropFolder, tailOf } from './processes.ts'
import type { Outcome, Row, Scale } from './scenarios/row.ts'
import type { Launcher, RunningServer } from './servers/server.ts'

/** Runs a row once on a server that is started for it, on fresh data, and ended after it. */
export async function runRow(row: Row, launcher: Launcher, scale: Scale, xmppload: string | undefined): Promise<Outcome> {
  const folder = await folderWithAccounts(launcher, row.setup, row.accounts(scale))
  let server: RunningServer = await launcher.start(row.setup, folder)
  const mechanism: Mechanism = launcher.mechanism
  try {
    return await row.run({
      server,
      launcher,
      mechanism,
      scale,
      xmppload,
      async killAndRestart() {
        await server.end('SIGKILL')
        server = await launcher.start(row.setup, folder, server.ports)
        return server
      },
    })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { sample: {}, faults: [`failed: ${reason}`, tailOf(`${folder}/bench.log`).trim()].filter((text) => text !== '') }
  } finally {
    await server.end()
    dropFolder(folder)
  }
}
