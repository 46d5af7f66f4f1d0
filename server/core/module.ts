import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Metrics } from '#server/base/metrics.ts'
import type { ConfigOf, SectionSchema } from '#server/base/schema.ts'
import type { Element } from '#stanzas/element.ts'
import type { Address, BareJid, Jid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import type { Documents, DocumentsShape, Expiring, ExpiringShape, Shape } from '#storage/shapes.ts'
import type { Accounts } from './accounts.ts'
import type { Delivery } from './delivery.ts'
import type { Devices } from './devices.ts'
import type { HomeCall } from './home-calls.ts'
import type { Hook, Hooks, Passage } from './hooks.ts'
import type { HttpRoute } from './http-route.ts'
import type { IqDispatch } from './iq.ts'
import type { Ledger } from './ledger.ts'
import type { Router } from './router.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'
import type { StreamLimits } from './stream-limits.ts'

/** Whom an IQ request is for: the server itself, any account (the handler looks at who asks), or the asker's own account only. */
export type IqTarget = 'server' | 'account' | 'own'

/** An IQ request that reached its handler; type, id, single child and addresses are in order. */
export interface IqRequest {
  readonly stanza: Stanza
  readonly payload: Element
  readonly from: Jid
  readonly fromAddress: Address
  /** The account, or the server's domain. */
  readonly to: BareJid
  readonly toAddress: Address
  /** The asking session, when it is a local one. */
  readonly session: Session | undefined
}

/** What the return value says is the reply: an element, or nothing, becomes the result; a thrown `StanzaError` the error. */
export type IqHandler = (request: IqRequest) => Element | undefined | Promise<Element | undefined>

export interface IqRegistration {
  readonly type: 'get' | 'set'
  readonly ns: string
  readonly name: string
  readonly target: IqTarget
  readonly handle: IqHandler
}

/** Answers IQ gets with this payload. */
export const onGet = (ns: string, name: string, target: IqTarget, handle: IqHandler): IqRegistration => ({
  type: 'get',
  ns,
  name,
  target,
  handle,
})

/** Answers IQ sets with this payload. */
export const onSet = (ns: string, name: string, target: IqTarget, handle: IqHandler): IqRegistration => ({
  type: 'set',
  ns,
  name,
  target,
  handle,
})

/** Presence types (RFC 6121 §4.7.1); `available` stands for no type. */
export type PresenceType =
  | 'available'
  | 'unavailable'
  | 'subscribe'
  | 'subscribed'
  | 'unsubscribe'
  | 'unsubscribed'
  | 'probe'
  | 'error'

/**
 * Who handles presence: `broadcast` came from a local session without an address, `directed` from a local session to somebody, `inbound` arrived for a local account
 * (its `session` is the sender's when that is local). Each type at each place has one handler.
 */
export interface PresenceRegistration {
  readonly at: 'broadcast' | 'directed' | 'inbound'
  readonly types: readonly PresenceType[]
  readonly handle: (passage: Passage) => void | Promise<void>
}

export const onPresence = (
  at: PresenceRegistration['at'],
  types: readonly PresenceType[],
  handle: PresenceRegistration['handle'],
): PresenceRegistration => ({ at, types, handle })

/** An element that is no stanza, sent by a client at the top of its stream after binding (XEP-0352). */
export interface NonzaRegistration {
  readonly ns: string
  readonly name: string
  readonly handle: (session: Session, element: Element) => void
}

export const onNonza = (ns: string, name: string, handle: NonzaRegistration['handle']): NonzaRegistration => ({
  ns,
  name,
  handle,
})

/** What a client that has not logged in may ask (XEP-0077 §3.1.1). */
export interface Visitor {
  readonly remoteAddress: string
  readonly isPrivate: boolean
  /** What modules remember about this stream, by key. */
  readonly notes: Map<string, unknown>
}
export interface VisitorIqRegistration {
  readonly ns: string
  readonly name: string
  readonly handle: (
    visitor: Visitor,
    request: { readonly type: 'get' | 'set'; readonly payload: Element; readonly stanza: Stanza },
  ) => Element | undefined | Promise<Element | undefined>
}

/** Answers IQ requests of clients that have not logged in. */
export const onVisitorIq = (ns: string, name: string, handle: VisitorIqRegistration['handle']): VisitorIqRegistration => ({
  ns,
  name,
  handle,
})

/** A child of `<stream:features/>`, asked for anew each time it is sent. */
export interface StreamFeatureOffer {
  readonly when: 'before-login' | 'after-login'
  readonly offer: (stream: { readonly isPrivate: boolean }) => Element | undefined
}

/**
 * What a client may ask for while it binds its resource (XEP-0386 §3.2), by an element of this namespace. What is returned goes into `<bound/>`;
 * the client is told nothing else before.
 */
export interface InlineRequest {
  readonly kind: 'asked'
  readonly ns: string
  readonly names: readonly string[]
  readonly handle: (session: Session, element: Element) => Element | undefined | Promise<Element | undefined>
}

/** What is told to every client that binds in that way (XEP-0386 §3.2.1), asked for at the instant of binding. */
export interface InlineFact {
  readonly kind: 'told'
  readonly tell: (session: Session) => Element | undefined | Promise<Element | undefined>
}

/** Takes elements of `<bind xmlns='urn:xmpp:bind:0'/>`; the namespace is advertised there. */
export const onBind2 = (ns: string, names: readonly string[], handle: InlineRequest['handle']): InlineRequest => ({
  kind: 'asked',
  ns,
  names,
  handle,
})

/** Puts an element into every `<bound xmlns='urn:xmpp:bind:0'/>`. */
export const atBind2 = (tell: InlineFact['tell']): InlineFact => ({ kind: 'told', tell })

export interface Identity {
  readonly category: string
  readonly type: string
  readonly name?: string
}

/** A domain of its own that a module answers for, below the one that is served: rooms, nodes. */
export interface Service {
  readonly address: Address
  /** Requests to it; `server` is the service itself, `account` an address at it. */
  readonly iq: readonly IqRegistration[]
  /** Messages and presence to it; without a handler messages are refused and presence is ignored. A thrown `StanzaError` is the answer. */
  readonly message?: (passage: Passage) => void | Promise<void>
  readonly presence?: (passage: Passage) => void | Promise<void>
}

/** What a module knows of a session that its client goes on with in another process, after this one was lost or stopped (XEP-0198 §5). */
export interface Carried {
  /** As text; `undefined` when there is nothing to say. Asked often. */
  readonly save: (session: Session) => string | undefined
  readonly restore: (session: Session, saved: string) => void
}

/** Carries that something is so of a session; that it is not, is nothing to carry. */
export const carryFlag = (isSet: (session: Session) => boolean, set: (session: Session) => void): Carried => ({
  save: (session) => (isSet(session) ? 'yes' : undefined),
  restore: set,
})

/** Everything a module returns from `start`; the server wires it, and undoes it on stop. */
export interface ModuleParts<Api> {
  readonly iq?: readonly IqRegistration[]
  readonly hooks?: readonly Hook[]
  readonly presence?: readonly PresenceRegistration[]
  readonly nonzas?: readonly NonzaRegistration[]
  readonly visitorIq?: readonly VisitorIqRegistration[]
  readonly streamFeatures?: readonly StreamFeatureOffer[]
  readonly bind2?: readonly (InlineRequest | InlineFact)[]
  readonly http?: readonly HttpRoute[]
  readonly services?: readonly Service[]
  /** What it knows of a session that has to go on in another process; see `Carried`. */
  readonly carries?: Carried
  /** What it does for accounts at their home when `callHome` asks. */
  readonly calls?: readonly HomeCall[]
  /** What modules that need this one may call. */
  readonly api?: Api
  readonly stop?: () => void | Promise<void>
}

/** Features that disco answers list: of the server's domain, and of every account. */
export interface Features {
  readonly server?: readonly string[]
  readonly account?: readonly string[]
}

type StoresOf<S> = {
  readonly [K in keyof S]: S[K] extends DocumentsShape<infer T>
    ? Documents<T>
    : S[K] extends ExpiringShape<infer T>
      ? Expiring<T>
      : never
}
type ApisOf<N> = { readonly [K in keyof N]: N[K] extends { readonly apiType?: infer Api } ? Exclude<Api, undefined> : never }

/** What other modules told about themselves; filled when all have been declared. */
export interface Registry {
  readonly modules: readonly Module[]
  readonly serverFeatures: readonly string[]
  readonly accountFeatures: readonly string[]
  readonly serverIdentities: readonly Identity[]
  readonly accountIdentities: readonly Identity[]
}

/** What `start` is given. Nothing undeclared is reachable through `config`, `stores` and `needs`. */
export interface ModuleContext<C, S, N, P> {
  readonly config: C extends SectionSchema ? ConfigOf<C> : Record<string, never>
  readonly stores: StoresOf<S>
  readonly needs: ApisOf<N>
  /** The module's state of this session, made when it is first asked for. */
  readonly stateOf: (session: Session) => P
  /** The served domain, as an address. */
  readonly domain: Address
  readonly host: HostFacts
  readonly sessions: Sessions
  readonly router: Router
  readonly delivery: Delivery
  readonly ledger: Ledger
  readonly accounts: Accounts
  readonly devices: Devices
  readonly iq: IqDispatch
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly registry: Registry
  readonly emit: Hooks['emit']
  /**
   * Whether the account is at home in this process: its sessions, caches and writes are here. Everything of another account is reached by stanzas
   * (`router.route`) and by `callHome`.
   */
  readonly isHere: (account: BareJid) => boolean
  /** Whether this process is the whole server, so that every account is at home here. */
  readonly isAlone: boolean
  /**
   * Runs the call `module.name` at the home of an account, which this process becomes when there is none, unless the call only reads; rejects when the home cannot be reached.
   */
  readonly callHome: (account: BareJid, name: string, payload: string, how?: 'reading') => Promise<string | undefined>
  /** The same for what concerns only who is connected: without an answer, behind the stanzas that were routed there before, and nowhere when the account is at home nowhere. */
  readonly tellHome: (account: BareJid, name: string, payload: string) => void
}

/** What modules may know of the running server. */
export interface HostFacts {
  readonly version: string
  readonly startedAtMs: number
  /** JIDs of administrators. */
  readonly admins: ReadonlySet<BareJid>
  /** Where a web browser finds the HTTP server, without a slash at the end; for links in invitations and host-meta. */
  readonly httpUrl: () => string
  readonly websocketUrl: () => string
  /** The same for links that go to people elsewhere; absent when nobody elsewhere reaches the HTTP server by a browser. */
  readonly linkUrl: () => string | undefined
  /** Whether rates are limited at all; off in tests and benchmarks. */
  readonly areRatesLimited: boolean
  /** Whether the operator lets passwords travel without TLS. */
  readonly allowsPlain: boolean
  readonly limits: { readonly beforeLogin: StreamLimits; readonly afterLogin: StreamLimits }
  /** A development server: open registration, no rate limits. */
  readonly isDev: boolean
  /** Contact addresses (XEP-0157) and the like are in the modules' own sections. */
}

export interface ModuleSpec<C, S, N, P, Api> {
  /** The feature's short English name, also its key under `modules` in the configuration. */
  readonly name: string
  readonly summary: string
  /** Each specification it follows, and the version it was written for. */
  readonly xeps?: Readonly<Record<string, string>>
  readonly features?: Features
  readonly identities?: { readonly server?: readonly Identity[]; readonly account?: readonly Identity[] }
  readonly config?: C
  readonly stores?: S
  readonly needs?: N
  readonly perSession?: () => P
  readonly start: (context: ModuleContext<C, S, N, P>) => ModuleParts<Api> | Promise<ModuleParts<Api>>
}

/** A declared module, as the server sees it. `apiType` only carries the type of its API. */
export interface Module<Api = unknown> {
  readonly name: string
  readonly summary: string
  readonly xeps: Readonly<Record<string, string>>
  readonly features: Features
  readonly identities: { readonly server?: readonly Identity[]; readonly account?: readonly Identity[] }
  readonly config: SectionSchema
  readonly stores: Readonly<Record<string, Shape>>
  readonly needs: Readonly<Record<string, Module>>
  readonly perSession: (() => unknown) | undefined
  readonly start: (
    context: ModuleContext<SectionSchema, Record<string, Shape>, Record<string, Module>, unknown>,
  ) => ModuleParts<unknown> | Promise<ModuleParts<unknown>>
  readonly apiType?: Api
}

/** Declares a module. What it declares is all it can reach. */
export const defineModule = <
  const C extends SectionSchema = Record<never, never>,
  const S extends Readonly<Record<string, Shape>> = Record<never, never>,
  const N extends Readonly<Record<string, Module>> = Record<never, never>,
  P = undefined,
  Api = undefined,
>(
  spec: ModuleSpec<C, S, N, P, Api>,
): Module<Api> => ({
  name: spec.name,
  summary: spec.summary,
  xeps: spec.xeps ?? {},
  features: spec.features ?? {},
  identities: spec.identities ?? {},
  config: spec.config ?? {},
  stores: spec.stores ?? {},
  needs: spec.needs ?? {},
  perSession: spec.perSession,
  start: spec.start as unknown as Module['start'],
})
