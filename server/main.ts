import { run } from './command/program.ts'
import type { ServerSeam } from './command/server-seam.ts'
import { processTerminal } from './command/terminal.ts'
import { WORKER_ARGUMENT } from './worker-messages.ts'

// Loaded when a command needs it, so that --help and a wrong option answer at once.
const loadServer = async (): Promise<ServerSeam> => {
  const [server, { modules }] = await Promise.all([import('./server.ts'), import('./modules/index.ts')])
  return {
    ...server,
    async startServer(options) {
      return options.config.workers === 1
        ? server.startServer(options)
        : (await import('./supervisor.ts')).startSupervisor(options)
    },
    modules,
  }
}

// The data folder may be there already and be open to others, as volumes of containers are; what is made in it holds messages and the keys of passwords.
process.umask(0o077)

// A reader that has seen enough, such as head, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

// What a supervisor starts is no command of the operator's.
if (process.argv[2] === WORKER_ARGUMENT && process.send !== undefined) (await import('./worker.ts')).runWorker()
else await run(process.argv.slice(2), { terminal: processTerminal, host: process, loadServer })
