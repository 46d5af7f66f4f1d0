import type { Logger } from '#server/base/log.ts'
import type { Pace } from '#server/base/pace.ts'
import { type Bus, BusError, type NodeId } from '#server/core/bus.ts'
import { HomesError } from '#server/core/homes.ts'
import type { Residence } from '#server/core/residence.ts'
import type { Element } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { toText, toWire, type Wire } from '#stanzas/wire.ts'
import type { C2sStream } from './c2s.ts'
import type { Accept } from './connection.ts'
import { Relay } from './relay.ts'
import {
  LINE_DOWN,
  LINE_EVENT,
  LINE_OPEN,
  LINE_ORDER,
  LINE_UP,
  type LineFacts,
  type LineOrder,
  RemoteConnection,
  readLine,
} from './remote-connection.ts'

const WELCOME = toWire('welcome')
const ORDERS: ReadonlySet<string> = new Set<LineOrder>(['pause', 'resume', 'keep-alive', 'end', 'destroy', 'took'])
const isOrder = (name: string): name is LineOrder => ORDERS.has(name)

/**
 * Serves clients at the homes of their accounts (decision 0010): once a client has said who it claims to be, its stream goes on there. The node that it is connected to
 * keeps the socket, TLS and WebSocket, and moves bytes; login, binding, resumption and everything after it happen at home as if the client were connected there.
 */
export class Houses {
  /** Clients that were sent on to other nodes, and that came from them. */
  readonly counts = { sentOn: 0, received: 0 }
  readonly #bus: Bus
  readonly #residence: Residence
  readonly #accept: Accept
  readonly #log: Logger
  readonly #relays = new Map<number, Relay>()
  readonly #lines = new Map<number, Map<number, RemoteConnection>>()
  #lastNumber = 0

  constructor(parts: {
    readonly bus: Bus
    readonly residence: Residence
    readonly accept: Accept
    readonly log: Logger
  }) {
    const { bus } = parts
    this.#bus = bus
    this.#residence = parts.residence
    this.#accept = parts.accept
    this.#log = parts.log
    bus.onRequest(LINE_OPEN, (from, payload) => this.#opened(from, payload))
    bus.onMessage(LINE_UP, (from, payload) => {
      const [number, data] = readLine(payload)
      this.#lines.get(from.epoch)?.get(number)?.take(data)
    })
    bus.onMessage(LINE_EVENT, (from, payload) => this.#happened(from, payload))
    bus.onMessage(LINE_DOWN, (_from, payload) => {
      const [number, data] = readLine(payload)
      this.#relays.get(number)?.write(data)
    })
    bus.onMessage(LINE_ORDER, (_from, payload) => {
      const [number, rest] = readLine(payload)
      const [order = '', count] = rest.split(' ')
      if (isOrder(order)) this.#relays.get(number)?.obey(order, Number(count))
    })
    bus.onPeerLost((node) => this.#lost(node))
  }

  /** Connections here whose accounts are at home at other nodes, and the other way round. */
  get relays(): number {
    return this.#relays.size
  }
  get lines(): number {
    let lines = 0
    for (const each of this.#lines.values()) lines += each.size
    return lines
  }

  /**
   * The client claims to be this account, by this element. `false`: its stream goes on at another node. Rejects with `HomesError` when the home stays unknown or out of reach.
   */
  async serves(stream: C2sStream, account: BareJid, login: Element): Promise<boolean> {
    if (this.#residence.isHere(account)) {
      this.#residence.atDoor(account)
      return true
    }
    for (;;) {
      const place = await this.#residence.welcome(account)
      if (place === 'here') return true
      if (stream.isClosed) return false
      if (await this.#sendOn(stream, place, login)) return false
    }
  }

  async #sendOn(stream: C2sStream, node: NodeId, login: Element): Promise<boolean> {
    const { connection } = stream
    const number = ++this.#lastNumber
    const relay = new Relay({ bus: this.#bus, node, number, connection, onGone: () => this.#relays.delete(number) })
    const { remoteAddress, framing, isPrivate, tls } = connection
    const facts: LineFacts = {
      number,
      remoteAddress,
      framing,
      isPrivate,
      tls:
        tls === undefined
          ? undefined
          : {
              protocol: tls.protocol,
              exporter: tls.exporter().toString('base64'),
              serverEndPoint: tls.serverEndPoint()?.toString('base64'),
            },
      said: stream.retells(login),
    }
    this.#relays.set(number, relay)
    try {
      await this.#bus.request(node, LINE_OPEN, toWire(JSON.stringify(facts)))
    } catch (error) {
      this.#relays.delete(number)
      if (error instanceof BusError) return false
      throw error
    }
    this.counts.sentOn++
    stream.goesOnAt(relay)
    return true
  }

  #opened(from: NodeId, payload: Wire): Wire {
    const facts = JSON.parse(toText(payload)) as LineFacts
    const connection = new RemoteConnection(this.#bus, from, facts)
    const handler = this.#accept(connection)
    connection.serve(handler)
    const lines = this.#lines.get(from.epoch) ?? new Map()
    this.#lines.set(from.epoch, lines)
    lines.set(facts.number, connection)
    this.counts.received++
    this.#log.debug('client-received', { node: from.name, address: facts.remoteAddress })
    // It has had the answer to its header.
    connection.isMuted = true
    for (const said of facts.said) {
      handler.onData(Buffer.from(said, 'latin1'))
      connection.isMuted = false
    }
    return WELCOME
  }

  #happened(from: NodeId, payload: Wire): void {
    const [number, rest] = readLine(payload)
    const lines = this.#lines.get(from.epoch)
    const line = lines?.get(number)
    if (line === undefined) return
    const space = rest.indexOf(' ')
    if (rest.slice(0, space) === 'flushed') return line.flushed(Number(rest.slice(space + 1)))
    lines?.delete(number)
    line.gone(rest.slice(space + 1))
  }

  /** Cuts the clients here whose homes are other nodes: they come back by others. */
  async cut(pace: Pace | undefined): Promise<void> {
    for (const relay of [...this.#relays.values()]) {
      await pace?.turn()
      relay.cut()
    }
  }

  /** Clients whose home is lost are cut, and come back; those that came by the lost node may resume by another. */
  #lost(node: NodeId): void {
    const lines = this.#lines.get(node.epoch)
    this.#lines.delete(node.epoch)
    for (const line of lines?.values() ?? []) line.gone(`${node.name} was lost`)
    for (const relay of [...this.#relays.values()]) if (relay.node.epoch === node.epoch) relay.cut()
  }
}

/** Whether the home of an account could not be found or reached. */
export const isAstray = (error: unknown): boolean => error instanceof HomesError
