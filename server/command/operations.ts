import type { Config } from '#server/base/config.ts'
import type { Operations } from '#server/base/operations.ts'
import { connectControl, controlSocket } from './control.ts'
import type { ServerSeam } from './server-seam.ts'

/** Uses the operations of the running server, or of its store when it does not run, and closes what it opened. */
export const withOperations = async <T>(
  server: ServerSeam,
  config: Config,
  use: (operations: Operations) => Promise<T>,
): Promise<T> => {
  const running = await connectControl(controlSocket(config.data))
  if (running !== undefined) return use(running)
  const opened = await server.openOperations(config)
  try {
    return await use(opened.operations)
  } finally {
    await opened.close()
  }
}
