import type { NodeId } from '#server/core/bus.ts'
import type { FenceReason } from '#server/core/homes.ts'

/** Where it is written which node is the home of an address; one for all nodes. What one node asks about one address happens in the order it was asked. */
export interface Directory {
  readonly self: NodeId
  readonly number: number
  isValid(): boolean
  /** Writes this node there unless one that lives is there; answers who is. */
  claim(address: string): Promise<NodeId>
  find(address: string): Promise<NodeId | undefined>
  /** Takes this node away, where it is there. */
  release(address: string): Promise<void>
  /** This node is no longer written there: the directory forgot, and another was first when all told it again. */
  onLost(handler: (address: string) => void): void
  onFenced(handler: (reason: FenceReason) => void): void
  close(): Promise<void>
}
