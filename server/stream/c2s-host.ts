import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Rate } from '#server/base/rate-limit.ts'
import type { NonzaRegistration, StreamFeatureOffer, VisitorIqRegistration } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import type { Address } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import type { XmlLimits } from '#stanzas/xml-stream.ts'
import type { C2sStream } from './c2s.ts'
import type { StreamFeature } from './feature.ts'
import type { StreamErrorCondition } from './stream-error.ts'

/** What every client stream of a server shares. */
export interface C2sHost {
  readonly domain: Address
  readonly clock: Clock
  readonly log: Logger
  readonly limits: { readonly beforeLogin: XmlLimits; readonly afterLogin: XmlLimits; readonly loginTimeoutMs: number }
  /** How many stanzas a client may send before it is read more slowly; absent where rates are not limited. */
  readonly rate: Rate | undefined
  /** In the order they are offered. */
  readonly features: readonly StreamFeature[]
  readonly offers: readonly StreamFeatureOffer[]
  readonly nonzas: ReadonlyMap<string, NonzaRegistration['handle']>
  readonly visitorIq: ReadonlyMap<string, VisitorIqRegistration['handle']>
  /** Answers the IQ requests that come before a resource is bound; `false` for any other. */
  bind(stream: C2sStream, stanza: Stanza): boolean | Promise<boolean>
  /** The stream ended with this error. */
  onFailed(condition: StreamErrorCondition): void
  /** The client is read more slowly: it sends too fast, or what it sent waits. */
  onSlowed(reason: 'rate' | 'session'): void
  /** The stream of a bound session is gone. */
  onLost(stream: C2sStream, session: Session, wasClosedInPeace: boolean): void
  /** The stream is closed; called once, last. */
  onGone(stream: C2sStream): void
}
