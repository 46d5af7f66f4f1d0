import { nullLog } from '#server/base/log.ts'
import type { Carrier, CarrierEvents } from '#server/cluster/carrier.ts'
import { Links } from '#server/cluster/links.ts'
import { HomeRegistrar, openLocalHomes } from '#server/cluster/local-homes.ts'
import type { NodeId } from '#server/core/bus.ts'
import type { FleetParts } from '#server/fleet.ts'
import type { FakeClock } from './fake-clock.ts'

const REGISTRAR = 'registrar'

/** Nodes of one process, with a bus between them that costs a turn of the loop for each batch. */
export class MemoryFleet {
  readonly #clock: FakeClock
  readonly #stations = new Map<number, { readonly node: NodeId; readonly events: CarrierEvents }>()
  #registrar: Promise<Links> | undefined
  #lastEpoch = 0
  #inTransit = 0
  readonly #full = new Set<string>()
  #era = 0

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  /** Batches that have not arrived. */
  inTransit(): number {
    return this.#inTransit
  }

  /** Starts a node. */
  async join(name: string): Promise<FleetParts & { readonly kill: () => void }> {
    this.#registrar ??= this.#openRegistrar()
    const registrar = await this.#registrar
    const self = { name, epoch: ++this.#lastEpoch }
    const bus = await Links.open(this.#carrierOf(self), { self, clock: this.#clock, log: nullLog })
    while (!bus.isLinked(registrar.self)) await new Promise((resolve) => setImmediate(resolve))
    const homes = await openLocalHomes({ bus, clock: this.#clock, registrar: registrar.self })
    return { bus, homes, kill: () => this.#end(self) }
  }

  /** What is on its way between nodes is lost, and their links begin anew; those to the registrar hold, since a node without it is none. */
  interrupt(): void {
    this.#era++
    const nodes = [...this.#stations.values()].filter(({ node }) => node.name !== REGISTRAR)
    for (const { node, events } of nodes) for (const other of nodes) if (other.node !== node) events.interrupted(other.node.epoch)
  }

  /** The links of this node take nothing more, as when nobody reads at their other ends, or take everything again. */
  fill(name: string, isFull: boolean): void {
    if (isFull) this.#full.add(name)
    else this.#full.delete(name)
  }

  async close(): Promise<void> {
    await (await this.#registrar)?.close()
  }

  async #openRegistrar(): Promise<Links> {
    const self = { name: REGISTRAR, epoch: ++this.#lastEpoch }
    const bus = await Links.open(this.#carrierOf(self), { self, clock: this.#clock, log: nullLog })
    new HomeRegistrar(bus, this.#clock)
    return bus
  }

  #carrierOf(self: NodeId): Carrier {
    return {
      start: async (events) => {
        const others = [...this.#stations.values()]
        this.#stations.set(self.epoch, { node: self, events })
        for (const other of others) {
          other.events.candidate(self)
          events.candidate(other.node)
        }
      },
      carry: (to, batch) => {
        if (!this.#stations.has(self.epoch)) return false
        this.#inTransit++
        const era = this.#era
        setImmediate(() => {
          this.#inTransit--
          if (era === this.#era || self.name === REGISTRAR || to.name === REGISTRAR)
            this.#stations.get(to.epoch)?.events.batch(Buffer.from(batch, 'latin1'), self.epoch)
        })
        return true
      },
      queuedBytes: () => (this.#full.has(self.name) ? Number.POSITIVE_INFINITY : 0),
      drop() {},
      close: async () => this.#end(self),
    }
  }

  #end(node: NodeId): void {
    if (!this.#stations.delete(node.epoch)) return
    for (const { events } of this.#stations.values()) events.ended(node)
  }
}
