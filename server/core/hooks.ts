import type { Address, BareJid } from '#stanzas/jid.ts'
import type { Stanza, StanzaKind } from '#stanzas/stanza.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Arrival } from './forwarding.ts'
import type { Stay } from './residence.ts'
import type { Session } from './session.ts'

/**
 * Where a stanza can be looked at on its way. See docs/route-of-a-stanza.md. `leaving`: its recipient is at home in another process; the guards run before anything is
 * waited for, and what they drop or refuse goes nowhere.
 */
export type HookPoint = 'sent' | 'leaving' | 'inbound' | 'undelivered' | 'outbound'

/** A stanza at a hook point. `from` and `to` are its addresses; `to` of an unaddressed message is the sender's own account. */
export interface Passage {
  readonly stanza: Stanza
  readonly from: Address
  readonly to: Address
  /** `sent`: the session that sent it. `outbound`: the session it is about to be written to. Otherwise the sender's session, when it is a local one. */
  readonly session: Session | undefined
  /** How it came, where it came from another node. */
  readonly arrival?: Arrival | undefined
  /** What keeps the account of `to` at home here, when others could take it, until the stanza is done. */
  readonly stay?: Stay | undefined
  /** Observers of messages: its id in the ledger, and the sessions of `to` that got it or will read it there. */
  readonly entry?: LogId | undefined
  readonly recipients?: readonly Session[] | undefined
}

export type Guard = (passage: Passage) => undefined | 'drop' | Promise<undefined | 'drop'>
export type Amend = (passage: Passage) => Stanza | Promise<Stanza>
export type Observe = (passage: Passage) => void | Promise<void>

/** What happened to sessions and accounts; these can only be observed. */
export interface Facts {
  /** A resource was bound. */
  'session-started': { readonly session: Session }
  /** It sent its first available presence (RFC 6121 §4.2). */
  'session-available': { readonly session: Session }
  /** It sent unavailable presence, or ended while available; `status` is the text it left. */
  'session-unavailable': { readonly session: Session; readonly status: string }
  /** Its connection broke, and it waits to be resumed (XEP-0198 §5). */
  'session-detached': { readonly session: Session }
  'session-resumed': { readonly session: Session }
  /** It is gone for good. */
  'session-ended': { readonly session: Session }
  'account-created': { readonly account: BareJid }
  'account-deleted': { readonly account: BareJid }
  /** It is not at home in this process any more: what is remembered of it here may be outdated from now on. */
  'account-left': { readonly account: BareJid }
}
export type Fact = keyof Facts

interface Placement {
  /** Names of modules whose hook of the same point and phase comes first. */
  readonly after?: readonly string[]
  readonly before?: readonly string[]
}
export interface HookFilter extends Placement {
  readonly kind?: StanzaKind
  /** Only stanzas with a first-level child in this namespace. */
  readonly namespace?: string
}

export type Hook = StanzaHook | FactHook
type StanzaHook = { readonly point: HookPoint; readonly filter: HookFilter } & (
  | { readonly phase: 'guard'; readonly run: Guard }
  | { readonly phase: 'amend'; readonly run: Amend }
  | { readonly phase: 'observe'; readonly run: Observe }
)
interface FactHook {
  readonly phase: 'fact'
  readonly fact: Fact
  readonly run: (fact: never) => void | Promise<void>
}

/** A hook that may refuse (throw a `StanzaError`) or drop a stanza. */
export const guard = (point: HookPoint, run: Guard, filter: HookFilter = {}): Hook => ({ phase: 'guard', point, run, filter })

/** A hook that returns the stanza to go on with. */
export const amend = (point: HookPoint, run: Amend, filter: HookFilter = {}): Hook => ({ phase: 'amend', point, run, filter })

/** A hook that watches a stanza pass, or a fact happen; its failure is logged and changes nothing. */
export function observe(point: HookPoint, run: Observe, filter?: HookFilter): Hook
export function observe<F extends Fact>(fact: F, run: (fact: Facts[F]) => void | Promise<void>): Hook
export function observe(
  name: HookPoint | Fact,
  run: Observe | ((fact: never) => void | Promise<void>),
  filter: HookFilter = {},
): Hook {
  if (isPoint(name)) return { phase: 'observe', point: name, run: run as Observe, filter }
  return { phase: 'fact', fact: name, run: run as (fact: never) => void }
}

const POINTS = ['sent', 'leaving', 'inbound', 'undelivered', 'outbound'] as const satisfies readonly HookPoint[]
const KINDS = ['message', 'presence', 'iq'] as const satisfies readonly StanzaKind[]
const isPoint = (name: string): name is HookPoint => POINTS.some((point) => point === name)

interface Step<R> {
  readonly module: string
  readonly namespace: string | undefined
  readonly run: R
}
interface Chain {
  readonly guards: readonly Step<Guard>[]
  readonly amends: readonly Step<Amend>[]
  readonly observers: readonly Step<Observe>[]
}

const NO_HOOKS: Chain = { guards: [], amends: [], observers: [] }
const noChains = (): Record<StanzaKind, Chain> => ({ message: NO_HOOKS, presence: NO_HOOKS, iq: NO_HOOKS })

const wants = (step: Step<unknown>, stanza: Stanza): boolean => {
  if (step.namespace === undefined) return true
  for (const payload of stanza.payloads) if (payload.ns === step.namespace) return true
  return false
}

/**
 * All hooks of all modules, resolved once at start per point and stanza kind.
 * A stanza that no hook wants passes without a Promise being made.
 */
export class Hooks {
  readonly #chains: Record<HookPoint, Record<StanzaKind, Chain>> = {
    sent: noChains(),
    leaving: noChains(),
    inbound: noChains(),
    undelivered: noChains(),
    outbound: noChains(),
  }
  readonly #facts = new Map<Fact, readonly Step<(fact: never) => void | Promise<void>>[]>()
  readonly #onFailure: (module: string, moment: string, error: unknown) => void

  constructor(onFailure: (module: string, moment: string, error: unknown) => void) {
    this.#onFailure = onFailure
    this.install([])
  }

  /** Resolves these hooks; once, when every module has said what it wants. */
  install(hooks: readonly { readonly module: string; readonly hook: Hook }[]): void {
    for (const point of POINTS)
      for (const kind of KINDS) {
        const here = hooks.filter(
          ({ hook }) => hook.phase !== 'fact' && hook.point === point && (hook.filter.kind ?? kind) === kind,
        )
        this.#chains[point][kind] = {
          guards: order(here, 'guard') as Step<Guard>[],
          amends: order(here, 'amend') as Step<Amend>[],
          observers: order(here, 'observe') as Step<Observe>[],
        }
      }
    for (const { module, hook } of hooks)
      if (hook.phase === 'fact')
        this.#facts.set(hook.fact, [...(this.#facts.get(hook.fact) ?? []), { module, namespace: undefined, run: hook.run }])
  }

  /** The resolved hooks of one point and kind. */
  chain(point: HookPoint, kind: StanzaKind): Chain {
    return this.#chains[point][kind]
  }

  /** Guards, then amends. Gives the stanza to go on with, or `undefined` when a guard dropped it; a Promise only when a hook made one. */
  pass(chain: Chain, passage: Passage): Stanza | undefined | Promise<Stanza | undefined> {
    for (let i = 0; i < chain.guards.length; i++) {
      const step = chain.guards[i]
      if (step === undefined || !wants(step, passage.stanza)) continue
      const verdict = step.run(passage)
      if (verdict === 'drop') return undefined
      if (verdict !== undefined) return this.#passLater(chain, passage, verdict, i + 1)
    }
    return this.#amend(chain, passage, 0)
  }

  async #passLater(
    chain: Chain,
    passage: Passage,
    verdict: Promise<undefined | 'drop'>,
    next: number,
  ): Promise<Stanza | undefined> {
    if ((await verdict) === 'drop') return undefined
    for (const step of chain.guards.slice(next))
      if (wants(step, passage.stanza) && (await step.run(passage)) === 'drop') return undefined
    return this.#amend(chain, passage, 0)
  }

  #amend(chain: Chain, passage: Passage, first: number): Stanza | Promise<Stanza> {
    let now = passage
    for (let i = first; i < chain.amends.length; i++) {
      const step = chain.amends[i]
      if (step === undefined || !wants(step, now.stanza)) continue
      const amended = step.run(now)
      if (amended instanceof Promise) return amended.then((stanza) => this.#amend(chain, { ...now, stanza }, i + 1))
      if (amended !== now.stanza) now = { ...now, stanza: amended }
    }
    return now.stanza
  }

  /** Tells the observers; they cannot hold the stanza up. */
  observe(chain: Chain, passage: Passage): void {
    for (const step of chain.observers) {
      if (!wants(step, passage.stanza)) continue
      this.#run(step.module, step.run, passage)
    }
  }

  /** Tells everyone who observes this fact. */
  emit<F extends Fact>(fact: F, what: Facts[F]): void {
    for (const step of this.#facts.get(fact) ?? [])
      this.#run(step.module, step.run as (what: Facts[F]) => void | Promise<void>, what)
  }

  /** Tells everyone who observes this fact, and resolves when they have dealt with it; failures are logged. */
  async announce<F extends Fact>(fact: F, what: Facts[F]): Promise<void> {
    const steps = this.#facts.get(fact) ?? []
    const outcomes = await Promise.allSettled(
      steps.map(async (step) => (step.run as (what: Facts[F]) => void | Promise<void>)(what)),
    )
    outcomes.forEach((outcome, i) => {
      if (outcome.status === 'rejected') this.#onFailure(steps[i]?.module ?? '', fact, outcome.reason)
    })
  }

  #run<T>(module: string, run: (what: T) => void | Promise<void>, what: T): void {
    try {
      run(what)?.catch((error: unknown) => this.#onFailure(module, run.name, error))
    } catch (error) {
      this.#onFailure(module, run.name, error)
    }
  }

  /** The resolved order, for `npm run order`. */
  describe(): readonly string[] {
    const lines: string[] = []
    for (const point of POINTS)
      for (const kind of KINDS)
        for (const phase of ['guards', 'amends', 'observers'] as const) {
          const steps = this.#chains[point][kind][phase]
          const names = steps.map((step) => (step.namespace === undefined ? step.module : `${step.module} (${step.namespace})`))
          if (names.length > 0) lines.push(`${point} ${kind} ${phase}: ${names.join(', ')}`)
        }
    for (const [fact, steps] of this.#facts) lines.push(`${fact}: ${steps.map((step) => step.module).join(', ')}`)
    return lines
  }
}

/** Sorts one phase by what `after` and `before` say; otherwise the order of the module list stays. */
const order = (
  all: readonly { readonly module: string; readonly hook: Hook }[],
  phase: 'guard' | 'amend' | 'observe',
): Step<unknown>[] => {
  const here = all.filter(({ hook }) => hook.phase === phase)
  const waits = new Map(here.map((entry) => [entry, new Set<string>()]))
  for (const entry of here) {
    const { hook, module } = entry
    if (hook.phase === 'fact') continue
    for (const earlier of hook.filter.after ?? []) waits.get(entry)?.add(earlier)
    for (const later of hook.filter.before ?? [])
      for (const other of here) if (other.module === later) waits.get(other)?.add(module)
  }
  const sorted: Step<unknown>[] = []
  let left = here
  while (left.length > 0) {
    const names = new Set(left.map(({ module }) => module))
    const next = left.find((entry) => ![...(waits.get(entry) ?? [])].some((name) => names.has(name) && name !== entry.module))
    if (next === undefined) throw new Error(`the ${phase} hooks of ${[...names].join(', ')} each want to come after another`)
    left = left.filter((entry) => entry !== next)
    sorted.push({
      module: next.module,
      namespace: next.hook.phase === 'fact' ? undefined : next.hook.filter.namespace,
      run: next.hook.run,
    })
  }
  return sorted
}
