import type { NodeId } from './bus.ts'

/** Where an address is at home: in this process, or in another. */
export type Home = { readonly kind: 'mine' } | { readonly kind: 'theirs'; readonly node: NodeId }

/** Says that the directory of homes gave no answer. */
export class HomesError extends Error {
  /**
   * `unavailable`: the directory cannot be reached, or waits for its nodes after it was emptied; ask again later. `fenced`: this node is a node no more.
   * `name-in-use`: another node of this name lives. `full`: there are as many nodes as there may be. `unusable`: the directory answers, but not as it must, until somebody does something.
   */
  readonly reason: 'unavailable' | 'unusable' | 'fenced' | 'name-in-use' | 'full'

  constructor(reason: HomesError['reason'], message: string) {
    super(message)
    this.name = 'HomesError'
    this.reason = reason
  }
}

/** Why a node is a node no more. */
export type FenceReason =
  /** It did not run, or could not reach the directory, for longer than its lease. */
  | 'late'
  /** The directory has given it up. */
  | 'expelled'

/** Which node an address is at home at. An address has at most one home at a time: a node that holds one is told so before any other node can be. */
export interface Homes {
  /** This node; its epoch grows with each start, and fences. */
  readonly self: NodeId
  /** A number from 0 to 255 that no other living node has. */
  readonly number: number
  /** Whether this process may act as a home at all. It looks at the clock: a process that was stopped learns of it here, before it does anything. */
  isValid(): boolean
  /** What is known at once, by a look-up or two; `undefined` when the directory has to be asked. */
  known(address: string): Home | undefined
  /** Becomes its home unless a living node is; rejects with `HomesError`. */
  claim(address: string): Promise<Home>
  /** Where it is at home, if anywhere; rejects with `HomesError`. What it says of others may be a moment old: who is not the home says so, and then `forget` has it read again. */
  homeOf(address: string): Promise<Home | undefined>
  /** Drops the remembered answer that this node is its home. */
  forget(address: string, node: NodeId): void
  /** Gives it up; those who remembered it are told. What the directory could not be told is put right later. */
  release(address: string): Promise<void>
  /** An address is at home elsewhere now, after the directory lost its memory and another node was first; it has been dropped here already. */
  onLost(handler: (address: string) => void): void
  /** This node is a node no more: it must not act as a home from here on. Called once, before the call that noticed it returns. */
  onFenced(handler: (reason: FenceReason) => void): void
  /** Gives up everything, and its name. */
  close(): Promise<void>
}
