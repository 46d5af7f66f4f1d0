import type { Wire } from '#stanzas/wire.ts'

/** One process of a fleet, from its start to its end: no two that live share a name, and no two ever share an epoch. A later start has the larger epoch. */
export interface NodeId {
  readonly name: string
  readonly epoch: number
}

/** Why a node got no answer. */
export type BusFailure =
  /** There is no link to it, or too much waits for it already: nothing was sent. */
  | 'refused'
  /** The link broke: it may have been handled or not. */
  | 'lost'
  /** It took too long: it may be handled still. */
  | 'timeout'
  /** The other node's handler threw, or there is none. */
  | 'failed'

/** Says that a request to another node was not answered. */
export class BusError extends Error {
  readonly reason: BusFailure

  constructor(reason: BusFailure, node: NodeId, kind: string) {
    super(`${node.name} did not answer ${kind}: ${reason}`)
    this.name = 'BusError'
    this.reason = reason
  }
}

export type MessageHandler = (from: NodeId, payload: Wire) => void
export type RequestHandler = (from: NodeId, payload: Wire) => Wire | Promise<Wire>
export type PeerHandler = (peer: NodeId) => void

/**
 * What carries bytes between the nodes of a fleet. A link is what a connection is: between `found` and `lost`, what is sent to a peer arrives in the order it was sent,
 * once, or not at all from some point on, and then both sides are told that the peer is lost. A peer that is only unreachable is found again, with the same epoch, and
 * what was under way to it is gone: nothing goes over the bus that the ledger does not hold. Everything sent to one peer in a turn of the loop is one write.
 */
export interface Bus {
  readonly self: NodeId
  /** What was not sent because there was no link or too much waited, links that broke, and batches that nobody can read. */
  readonly counts: { readonly refused: number; readonly lost: number; readonly malformed: number }
  /** The other nodes that there is a link to. */
  peers(): readonly NodeId[]
  isLinked(node: NodeId): boolean
  /** Bytes that wait for this peer. */
  queuedBytes(node: NodeId): number
  /** Sends; `false` when there is no link to this node or too much waits for it already: then nothing was sent. To itself, it arrives in a later turn. */
  send(to: NodeId, kind: string, payload: Wire): boolean
  /** Sends and waits for the answer; rejects with `BusError`. */
  request(to: NodeId, kind: string, payload: Wire, timeoutMs?: number): Promise<Wire>
  /** Takes what is sent with this kind; a kind has one handler. */
  onMessage(kind: string, handler: MessageHandler): void
  /** Answers requests of this kind; what it throws is logged here and is `failed` there. */
  onRequest(kind: string, handler: RequestHandler): void
  onPeerFound(handler: PeerHandler): void
  onPeerLost(handler: PeerHandler): void
  /** Sends what is queued and ends every link; the peers see this node lost at once. */
  close(): Promise<void>
}
