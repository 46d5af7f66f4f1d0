import { connect, createServer, type Socket } from 'node:net'

/** A loopback relay between one client and the server, which can lose the connection in the ways networks do. */
export type Relay = {
  readonly port: number
  /** Resets every connection and refuses new ones, as when a cable is pulled out. */
  readonly cut: () => void
  /** Lets nothing pass in either direction while both ends still look connected. */
  readonly freeze: () => void
  /** Resets the client's end only: the server goes on believing in the old connection. */
  readonly dropClientEnd: () => void
  /** How many bytes for the client a frozen connection has swallowed so far. */
  readonly swallowedForClient: () => number
  /** How many bytes from the client a frozen connection has swallowed so far. */
  readonly swallowedFromClient: () => number
  /** Accepts and passes everything again. */
  readonly mend: () => void
  readonly close: () => Promise<void>
}

type Pair = { readonly near: Socket; readonly far: Socket; frozen: boolean }
type Swallowed = { forClient: number; fromClient: number }

/** Opens a relay to a loopback port, on an address of the loopback range and a port (0: any free one). */
export const openRelay = async (targetPort: number, address = '127.0.0.1', port = 0): Promise<Relay> => {
  const pairs = new Set<Pair>()
  const swallowed: Swallowed = { forClient: 0, fromClient: 0 }
  let refuses = false

  const server = createServer((near) => {
    if (refuses) return void near.resetAndDestroy()
    const pair: Pair = { near, far: connect(targetPort, '127.0.0.1'), frozen: false }
    pairs.add(pair)
    pass(pair.near, pair.far, pair, (bytes) => {
      swallowed.fromClient += bytes
    })
    pass(pair.far, pair.near, pair, (bytes) => {
      swallowed.forClient += bytes
    })
    pair.far.once('close', () => pairs.delete(pair))
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('the relay has no port')

  const endAll = () => {
    for (const { near, far } of pairs) {
      near.destroy()
      far.destroy()
    }
    pairs.clear()
  }
  return {
    port: bound.port,
    cut: () => {
      refuses = true
      for (const { near, far } of pairs) {
        near.resetAndDestroy()
        far.resetAndDestroy()
      }
      pairs.clear()
    },
    freeze: () => {
      for (const pair of pairs) pair.frozen = true
    },
    dropClientEnd: () => {
      for (const { near } of pairs) near.resetAndDestroy()
    },
    swallowedForClient: () => swallowed.forClient,
    swallowedFromClient: () => swallowed.fromClient,
    mend: () => {
      refuses = false
    },
    close: () => {
      endAll()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

// What a frozen connection receives is read and dropped, so that neither end notices by a full buffer.
const pass = (from: Socket, to: Socket, pair: Pair, swallow: (bytes: number) => void): void => {
  from.setNoDelay(true)
  from.on('data', (chunk) => {
    if (pair.frozen) swallow(chunk.length)
    else to.write(chunk)
  })
  from.on('end', () => {
    if (!pair.frozen) to.end()
  })
  from.on('error', () => {
    if (!pair.frozen) to.destroy()
  })
  from.on('close', () => {
    if (!pair.frozen) to.destroy()
  })
}
