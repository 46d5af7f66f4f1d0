import type { Clock } from '#server/base/clock.ts'
import { type Bus, BusError, type NodeId } from '#server/core/bus.ts'
import { type FenceReason, HomesError } from '#server/core/homes.ts'
import { toText, toWire, type Wire } from '#stanzas/wire.ts'
import type { Directory } from './directory.ts'
import { SharedHomes } from './shared-homes.ts'

const JOIN = 'homes-join'
const CLAIM = 'homes-claim'
const FIND = 'homes-find'
const RELEASE = 'homes-release'

/** What stands for no node in an answer, and for one that is a node no more. */
const NOBODY = toWire('')
const EXPELLED = toWire('!expelled')
const NAME_IN_USE = toWire('!name-in-use')
const FULL = toWire('!full')

const MAX_NODES = 256
/** How long the homes of a lost process stay its own: a process that lives learns within a turn of its loop that it was given up. */
const FREE_MS = 250

interface Member {
  readonly node: NodeId
  readonly number: number
  readonly addresses: Set<string>
}

/**
 * The directory of homes for the processes of one machine; it lives in one of them, whose end is the end of all (the supervisor). It trusts the kernel:
 * a process that dies is lost on the bus at once, and one that is stopped is not lost, so it stays the home of what it holds.
 */
export class HomeRegistrar {
  readonly #clock: Clock
  readonly #members = new Map<number, Member>()
  readonly #homes = new Map<string, Member>()
  #lastNumber = MAX_NODES - 1

  constructor(bus: Bus, clock: Clock) {
    this.#clock = clock
    bus.onRequest(JOIN, (from) => this.#join(from))
    bus.onRequest(CLAIM, (from, address) => this.#claim(from, toText(address)))
    bus.onRequest(FIND, (from, address) => this.#find(from, toText(address)))
    bus.onRequest(RELEASE, (from, address) => this.#release(from, toText(address)))
    bus.onPeerLost((node) => this.#lost(node))
  }

  #join(node: NodeId): Wire {
    const known = this.#members.get(node.epoch)
    if (known !== undefined) return toWire(String(known.number))
    const taken = new Set<number>()
    for (const member of this.#members.values()) {
      if (member.node.name === node.name) return NAME_IN_USE
      taken.add(member.number)
    }
    if (taken.size >= MAX_NODES) return FULL
    // The number that was free for longest: what its last owner wrote with it is old.
    do this.#lastNumber = (this.#lastNumber + 1) % MAX_NODES
    while (taken.has(this.#lastNumber))
    this.#members.set(node.epoch, { node, number: this.#lastNumber, addresses: new Set() })
    return toWire(String(this.#lastNumber))
  }

  #claim(from: NodeId, address: string): Wire {
    const member = this.#members.get(from.epoch)
    if (member === undefined) return EXPELLED
    const home = this.#homes.get(address) ?? member
    if (home === member) {
      this.#homes.set(address, member)
      member.addresses.add(address)
    }
    return wireOf(home.node)
  }

  #find(from: NodeId, address: string): Wire {
    if (!this.#members.has(from.epoch)) return EXPELLED
    const home = this.#homes.get(address)
    return home === undefined ? NOBODY : wireOf(home.node)
  }

  #release(from: NodeId, address: string): Wire {
    const member = this.#members.get(from.epoch)
    if (member === undefined) return EXPELLED
    if (member.addresses.delete(address)) this.#homes.delete(address)
    return NOBODY
  }

  #lost(node: NodeId): void {
    const member = this.#members.get(node.epoch)
    if (member === undefined) return
    // From now on it is answered that it is no member; others wait a moment.
    this.#members.delete(node.epoch)
    this.#clock.after(FREE_MS, () => {
      for (const address of member.addresses) this.#homes.delete(address)
    })
  }
}

export interface LocalHomesOptions {
  readonly bus: Bus
  readonly clock: Clock
  /** The process that holds the directory; there is a link to it. */
  readonly registrar: NodeId
}

/** The homes of the processes of one machine; rejects with `HomesError`. */
export const openLocalHomes = async (options: LocalHomesOptions): Promise<SharedHomes> =>
  new SharedHomes({ ...options, directory: await LocalDirectory.join(options) })

class LocalDirectory implements Directory {
  readonly number: number
  readonly #bus: Bus
  readonly #registrar: NodeId
  readonly #onFenced: ((reason: FenceReason) => void)[] = []
  #isFenced = false

  private constructor({ bus, registrar }: LocalHomesOptions, number: number) {
    this.#bus = bus
    this.#registrar = registrar
    this.number = number
    bus.onPeerLost((node) => {
      if (node.epoch === registrar.epoch) this.#fence()
    })
  }

  static async join(options: LocalHomesOptions): Promise<LocalDirectory> {
    const { bus, registrar } = options
    const answer = await asked(bus, registrar, JOIN, NOBODY)
    if (answer === NAME_IN_USE)
      throw new HomesError('name-in-use', `another process is called ${bus.self.name}, or one that was lost just now`)
    if (answer === FULL) throw new HomesError('full', 'there are 256 processes already')
    return new LocalDirectory(options, Number(answer))
  }

  get self(): NodeId {
    return this.#bus.self
  }

  isValid(): boolean {
    return !this.#isFenced
  }

  async claim(address: string): Promise<NodeId> {
    return nodeOf(await this.#ask(CLAIM, address))
  }

  async find(address: string): Promise<NodeId | undefined> {
    const answer = await this.#ask(FIND, address)
    return answer === NOBODY ? undefined : nodeOf(answer)
  }

  async release(address: string): Promise<void> {
    await this.#ask(RELEASE, address)
  }

  /** The directory forgets nothing but with its process. */
  onLost(): void {}

  onFenced(handler: (reason: FenceReason) => void): void {
    this.#onFenced.push(handler)
  }

  /** The end of its link tells the registrar. */
  async close(): Promise<void> {
    this.#isFenced = true
  }

  async #ask(kind: string, address: string): Promise<Wire> {
    if (this.#isFenced) throw fenced()
    const answer = await asked(this.#bus, this.#registrar, kind, toWire(address))
    if (answer === EXPELLED) this.#fence()
    if (this.#isFenced) throw fenced()
    return answer
  }

  #fence(): void {
    if (this.#isFenced) return
    this.#isFenced = true
    for (const handler of this.#onFenced) handler('expelled')
  }
}

const fenced = (): HomesError => new HomesError('fenced', 'this node is a node no more')

const asked = async (bus: Bus, registrar: NodeId, kind: string, payload: Wire): Promise<Wire> => {
  try {
    return await bus.request(registrar, kind, payload)
  } catch (error) {
    if (error instanceof BusError) throw new HomesError('unavailable', error.message)
    throw error
  }
}

const wireOf = ({ name, epoch }: NodeId): Wire => toWire(`${epoch} ${name}`)

const nodeOf = (answer: Wire): NodeId => {
  const space = answer.indexOf(' ')
  return { epoch: Number(answer.slice(0, space)), name: answer.slice(space + 1) }
}
