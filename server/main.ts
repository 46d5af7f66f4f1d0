import { run } from './command/program.ts'
import type { ServerSeam } from './command/server-seam.ts'
import { processTerminal } from './command/terminal.ts'

// Loaded when a command needs it, so that --help and a wrong option answer at once.
const loadServer = async (): Promise<ServerSeam> => {
  const server: string = './server.ts'
  const list: string = './modules/index.ts'
  const [{ startServer, openOperations, describeOrder }, { modules }] = await Promise.all([import(server), import(list)])
  return { startServer, openOperations, describeOrder, modules }
}

await run(process.argv.slice(2), { terminal: processTerminal, host: process, loadServer })
