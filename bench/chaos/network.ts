import { once } from 'node:events'
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import type { Chance } from '../../conformance/fuzz/chance.ts'

type Pair = { readonly client: Socket; readonly node: Socket; isHeld: boolean }

/** The network between clients and a server, which may fail. */
export class Network {
  readonly port: number
  readonly #pairs = new Set<Pair>()
  readonly #server: Server

  private constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  static async to(nodePort: number): Promise<Network> {
    const server = createServer((client) => network.#join(client, dial({ host: '127.0.0.1', port: nodePort, noDelay: true })))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const network = new Network(server, address.port)
    return network
  }

  /** Makes a part of the connections half open: nothing passes, and neither side hears of the other's end. */
  hold(chance: Chance, percent: number): number {
    const held = this.#some(chance, percent)
    for (const pair of held) {
      pair.isHeld = true
      pair.client.unpipe(pair.node)
      pair.node.unpipe(pair.client)
      pair.client.pause()
      pair.node.pause()
    }
    return held.length
  }

  /** Ends that time: one half of what was held is reset, over the other half everything arrives late, also from clients that are gone. */
  release(chance: Chance): void {
    for (const pair of this.#pairs) {
      if (!pair.isHeld) continue
      pair.isHeld = false
      if (chance.once(2)) {
        pair.client.resetAndDestroy()
        pair.node.resetAndDestroy()
      } else join(pair)
    }
  }

  /** Resets a part of the connections. */
  cut(chance: Chance, percent: number): number {
    const some = this.#some(chance, percent)
    for (const { client, node } of some) {
      client.resetAndDestroy()
      node.resetAndDestroy()
    }
    return some.length
  }

  close(): void {
    this.#server.close()
    for (const { client, node } of this.#pairs) {
      client.destroy()
      node.destroy()
    }
  }

  #join(client: Socket, node: Socket): void {
    const pair: Pair = { client, node, isHeld: false }
    this.#pairs.add(pair)
    client.setNoDelay(true)
    for (const [one, other] of [
      [client, node],
      [node, client],
    ] as const) {
      one.on('error', () => undefined)
      one.on('close', () => {
        if (pair.isHeld) return
        this.#pairs.delete(pair)
        other.destroy()
      })
    }
    join(pair)
  }

  #some(chance: Chance, percent: number): readonly Pair[] {
    return [...this.#pairs].filter((pair) => chance.below(100) < percent && !pair.isHeld)
  }
}

const join = ({ client, node }: Pair): void => {
  client.pipe(node)
  node.pipe(client)
}
