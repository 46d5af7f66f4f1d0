import type { StandIn } from './service.ts'

/** How a run is made; the seed decides what happens when, not what comes of it. */
export type ChaosOptions = {
  readonly seconds: number
  readonly seed: number
  readonly nodes: number
  readonly accounts: number
  /** Messages a second, of all clients together. */
  readonly rate: number
  readonly report: string
  /** What stands in for MongoDB; without it, the one that is there. */
  readonly database: StandIn | undefined
  /** The kinds of faults that there are; all, when it names none. */
  readonly only: readonly string[]
}

/** The domain that all nodes serve. */
export const DOMAIN = 'chaos.example'
/** The lease of a node (decision 0013): who is stopped for longer is fenced. */
export const LEASE_MS = 5_000
/** How long a session waits to be resumed. */
export const RESUME_MS = 40_000
