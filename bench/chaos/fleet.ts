import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../conformance/fuzz/chance.ts'
import { Network } from './network.ts'
import { NodeProcess, type OnNodeEvent } from './node-process.ts'
import type { Fault } from './schedule.ts'
import { type Service, type StandIn, startDatabase, startRedis } from './service.ts'

/** What is under fire: Redis, the database, the nodes, and the network before each. */
export class Fleet {
  readonly redis: Service
  readonly database: Service
  readonly nodes: readonly NodeProcess[]
  readonly #networks: readonly Network[]

  private constructor(redis: Service, database: Service, nodes: readonly NodeProcess[], networks: readonly Network[]) {
    this.redis = redis
    this.database = database
    this.nodes = nodes
    this.#networks = networks
  }

  static async start(count: number, folder: string, wanted: StandIn | undefined, onEvent: OnNodeEvent): Promise<Fleet> {
    const [redis, database] = await Promise.all([startRedis(folder), startDatabase(folder, wanted)])
    const nodes: NodeProcess[] = []
    // One after the other: the first makes the indexes.
    for (let at = 0; at < count; at++) {
      const options = { name: `n${at}`, folder, databaseUrl: database.url, redisUrl: redis.url, onEvent }
      nodes.push(await NodeProcess.create(options))
    }
    return new Fleet(redis, database, nodes, await Promise.all(nodes.map(({ port }) => Network.to(port))))
  }

  /** Where clients connect. */
  get entrances(): readonly { readonly node: string; readonly port: number }[] {
    return this.nodes.flatMap(({ name }, at) => ({ node: name, port: this.#networks[at]?.port ?? 0 }))
  }

  /** Does it, and resolves when it is over on our side. */
  async suffer(fault: Fault, chance: Chance): Promise<void> {
    switch (fault.kind) {
      case 'node-killed': {
        const node = this.nodes[fault.node]
        await node?.kill()
        await sleep(fault.forMs)
        return node?.start()
      }
      case 'node-stopped':
        return this.nodes[fault.node]?.stopFor(fault.forMs)
      case 'redis-killed':
      case 'database-killed': {
        const service = fault.kind === 'redis-killed' ? this.redis : this.database
        await service.kill?.()
        await sleep(fault.forMs)
        return service.start()
      }
      case 'half-open':
        for (const network of this.#networks) network.hold(chance, fault.percent)
        await sleep(fault.forMs)
        for (const network of this.#networks) network.release(chance)
        return
      case 'cut':
        for (const network of this.#networks) network.cut(chance, fault.percent)
    }
  }

  async stop(): Promise<void> {
    for (const network of this.#networks) network.close()
    await Promise.all(this.nodes.map((node) => node.end()))
    await Promise.all([this.redis.kill?.(), this.database.kill?.()])
  }
}
