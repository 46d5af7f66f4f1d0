import type { Address } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import type { StanzaError } from '#stanzas/stanza-error.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Arrival, Awaited } from './forwarding.ts'
import type { Passage } from './hooks.ts'
import type { Inflow } from './inflow.ts'
import type { Stay } from './residence.ts'
import type { Session } from './session.ts'

/**
 * A stanza on its way through the router, which hooks see as a passage. One object goes all the way and is changed on it: of messages thousands wait for the disk
 * at a time, and whatever each of them holds is copied by the collector while they do.
 */
export class Transit implements Passage {
  stanza: Stanza
  readonly from: Address
  readonly to: Address
  readonly session: Session | undefined
  readonly arrival: Arrival | undefined
  stay: Stay | undefined = undefined
  entry: LogId | undefined = undefined
  recipients: readonly Session[] | undefined = undefined
  /** Whether the sender's account has an entry of it, too. */
  isKeptBySender = false
  /** By which it is settled with who waits until it is durable. */
  ticket = 0

  constructor(
    stanza: Stanza,
    from: Address,
    to: Address,
    session: Session | undefined,
    arrival: Arrival | undefined = undefined,
  ) {
    this.stanza = stanza
    this.from = from
    this.to = to
    this.session = session
    this.arrival = arrival
  }

  /** Who is told when it is durable. */
  get inflow(): Inflow | undefined {
    return this.session ?? this.arrival?.inflow
  }
}

/** A message whose sender waits until it is durable at another node. */
export class AwaitedElsewhere implements Awaited {
  readonly #transit: Transit
  readonly #arrived: (transit: Transit, id: LogId | undefined, refusal: StanzaError | undefined) => void

  constructor(transit: Transit, arrived: (transit: Transit, id: LogId | undefined, refusal: StanzaError | undefined) => void) {
    this.#transit = transit
    this.#arrived = arrived
  }

  get isKeptBySender(): boolean {
    return this.#transit.isKeptBySender
  }

  done(id: LogId | undefined, refusal?: StanzaError): void {
    this.#arrived(this.#transit, id, refusal)
  }
}
