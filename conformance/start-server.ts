import { startProsody } from './prosody-process.ts'
import { type ServerOptions, type ServerProcess, startWaxwing } from './server-process.ts'

/** Starts the server named by CONFORMANCE_SERVER: ours, or Prosody to cross-check the suite itself. */
export const startServer = (options: ServerOptions = {}): Promise<ServerProcess> =>
  process.env.CONFORMANCE_SERVER === 'prosody' ? startProsody(options) : startWaxwing(options)
