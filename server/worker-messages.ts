import type { Config } from './base/config.ts'
import type { Operations } from './base/operations.ts'
import type { DevOptions, RunningServer } from './command/server-seam.ts'
import type { NodeId } from './core/bus.ts'

/** The argument with which the program is one of several that a supervisor has started. */
export const WORKER_ARGUMENT = 'worker'

/** What a worker needs to begin. */
export interface WorkerStart {
  readonly kind: 'start'
  readonly config: Config
  readonly dev: DevOptions | undefined
  readonly self: NodeId
  /** Who holds the directory of homes. */
  readonly registrar: NodeId
  /** Where the sockets of the bus are. */
  readonly busFolder: string
  /** Where the supervisor offers its store; without it, the worker opens the configured one. */
  readonly storeSocket: string | undefined
}

/** What a supervisor asks of a worker that runs. */
export type WorkerQuestion =
  /** Whether its store can be written. */
  | { readonly what: 'check' }
  /** Its numbers, to be added to those of the others. */
  | { readonly what: 'numbers' }
  | { readonly what: 'operation'; readonly name: keyof Operations; readonly input: readonly unknown[] }

export type ToWorker =
  | WorkerStart
  | { readonly kind: 'ask'; readonly id: number; readonly question: WorkerQuestion }
  | { readonly kind: 'stop' }

/** An error as it crosses between processes. */
export interface Failure {
  readonly message: string
  /** Refused in words for the operator, and no failure of the server. */
  readonly isRefusal: boolean
  /** What the system refused, which the operator can mend. */
  readonly syscall: string | undefined
}

export type FromWorker =
  /** It waits to be told to start. */
  | { readonly kind: 'ready' }
  /** It cannot start yet. */
  | { readonly kind: 'waits'; readonly reason: string }
  | { readonly kind: 'started'; readonly ports: RunningServer['ports'] }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly failure: Failure }
