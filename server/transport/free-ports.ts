import { createServer } from 'node:net'

/**
 * Rejects when one of the ports is in use. Processes that share a port do not notice that others have it already, if these would share it, too:
 * so before the first of them starts, somebody who does not share has to look.
 */
export const checkPortsAreFree = async (
  places: readonly { readonly address: string; readonly port: number }[],
): Promise<void> => {
  for (const { address, port } of places) {
    await new Promise<void>((resolve, reject) => {
      const server = createServer()
      server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? reject(error) : resolve()))
      server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve()))
    })
  }
}
