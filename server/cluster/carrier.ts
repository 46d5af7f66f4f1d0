import type { NodeId } from '#server/core/bus.ts'
import type { Batch } from './frames.ts'

/** What a carrier tells the links above it. */
export interface CarrierEvents {
  /** A batch came, whole. Answers whom it is from; nothing when that cannot be told, or it is no batch: the channel it came by is to be closed. `expected` is whose channel it is, if that is known. */
  batch(bytes: Buffer, expected?: number): { readonly epoch: number; readonly type: Batch['type'] } | undefined
  /** A node is there, or may be. */
  candidate(node: NodeId): void
  /** What was under way from or to the node of this epoch may be gone; the node may be there still. */
  interrupted(epoch: number): void
  /** The same for all of them. */
  interruptedAll(): void
  /** This node has ended. */
  ended(node: NodeId): void
}

/**
 * What moves whole batches from one node to another. It need not be reliable: batches may be lost, and then the links notice. But it keeps their order and
 * brings none twice, between two interruptions.
 */
export interface Carrier {
  /** Begins to look for nodes, and to take batches. */
  start(events: CarrierEvents): Promise<void>
  /** Takes a batch; `false` when it cannot be sent now. */
  carry(to: NodeId, batch: string): boolean
  /** How many bytes wait for this node below the links. */
  queuedBytes(to: NodeId): number
  /** Forgets what it holds for a node that ended or misbehaved. */
  drop(node: NodeId): void
  /** Ends once what it has taken is sent. */
  close(): Promise<void>
}
