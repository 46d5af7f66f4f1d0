import { type DrainOperations, type DrainProgress, OperationError } from './base/operations.ts'

export interface DrainingParts {
  /** Why there is nobody to go on, if that is so. */
  readonly alone: () => string | undefined
  /** Clients that have not gone, where that is known. */
  readonly clients: () => number | undefined
  /** Tells load balancers (`/readyz`) why they should send nobody here. */
  readonly announce: (reason: string) => void
  readonly pause: (ms: number) => Promise<void>
  /** Accepts nobody any more. */
  readonly close: () => void
  /** Lets the clients go on elsewhere. */
  readonly leave: () => Promise<void>
}

/** How a running server hands over to others: first it says that it is not ready, then it accepts nobody, then its clients go; stopping it is up to who asked. */
export class Draining implements DrainOperations {
  readonly #parts: DrainingParts
  #phase: DrainProgress['phase'] = 'serving'

  constructor(parts: DrainingParts) {
    this.#parts = parts
  }

  async drain(graceMs: number): Promise<void> {
    if (this.#phase !== 'serving') throw new OperationError('This server is being drained already.')
    const alone = this.#parts.alone()
    if (alone !== undefined) throw new OperationError(alone)
    this.#phase = 'waiting'
    this.#parts.announce('this node is being drained')
    await this.#parts.pause(graceMs)
    this.#phase = 'leaving'
    this.#parts.close()
    await this.#parts.leave()
    this.#phase = 'stopping'
  }

  async drainProgress(): Promise<DrainProgress> {
    const clients = this.#parts.clients()
    return { phase: this.#phase, ...(clients === undefined ? {} : { clients }) }
  }
}

/** A server that does not run has nothing to hand over. */
export const notRunning: DrainOperations = {
  drain: () => Promise.reject(new OperationError('The server does not run.')),
  drainProgress: async () => ({ phase: 'stopping' }),
}
