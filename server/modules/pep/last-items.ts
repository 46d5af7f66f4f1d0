import type { Session } from '#server/core/session.ts'
import { type Address, addressOf, type BareJid, type Jid, parseJid } from '#stanzas/jid.ts'
import { escapeAttribute } from '#stanzas/wire.ts'
import type { BlockingApi } from '../blocking.ts'
import type { FeatureSet } from '../client-caps.ts'
import type { HostProfile, NodeFacts, PubsubApi } from '../pubsub.ts'
import type { RosterApi } from '../roster.ts'

const NOTIFY = '+notify'
const NOTHING: ReadonlySet<string> = new Set()

/** Nodes whose events a client wants, by its features; sessions of the same software share them. */
const wantedBy = new WeakMap<FeatureSet, ReadonlySet<string>>()
export const wantedNodes = (features: FeatureSet | undefined): ReadonlySet<string> => {
  if (features === undefined) return NOTHING
  const known = wantedBy.get(features)
  if (known !== undefined) return known
  const nodes = [...features].filter((feature) => feature.endsWith(NOTIFY)).map((feature) => feature.slice(0, -NOTIFY.length))
  const wanted = nodes.length === 0 ? NOTHING : new Set(nodes)
  wantedBy.set(features, wanted)
  return wanted
}

/** What sending last items needs. */
export interface LastItemsParts {
  readonly pubsub: PubsubApi
  readonly roster: RosterApi
  readonly blocking: BlockingApi
  readonly profileOf: (owner: Address) => HostProfile
  /** Whether this is an account whose home is another process. */
  readonly isElsewhere: (owner: Address) => boolean
  /** Asks the home of an account to do the same there. */
  readonly ask: (account: BareJid, payload: string) => Promise<unknown>
  readonly onFailure: (error: unknown) => void
}

/** Who has come, and wants what, as it goes from home to home. */
interface Comer {
  readonly to: Jid
  readonly nodes: readonly string[]
}

/** Brings a session that has just come what happened while it was away (XEP-0163 §4.3.4), one account after the other, so that a long roster does not hold others up. */
export class LastItems {
  readonly #parts: LastItemsParts

  constructor(parts: LastItemsParts) {
    this.#parts = parts
  }

  /** Of the session's own account, and of everybody with whom that shares presence. */
  async ofAll(session: Session, wanted: ReadonlySet<string>): Promise<void> {
    await this.of(session.address.bareAddress, session, wanted)
    const { contacts } = await this.#parts.roster.of(session.account)
    for (const [jid, { item }] of contacts) {
      if (!session.isAvailable || session.hasEnded) return
      const owner = item === undefined || item.subscription === 'none' ? undefined : addressOf(escapeAttribute(jid))
      if (owner !== undefined) await this.of(owner, session, wanted)
    }
  }

  /** Of one account. */
  async of(owner: Address, session: Session, wanted: ReadonlySet<string>): Promise<void> {
    const { isElsewhere, ask, onFailure } = this.#parts
    if (!isElsewhere(owner)) return this.#send(owner, session.address, wanted, () => session.isAvailable && !session.hasEnded)
    const comer: Comer = { to: session.jid, nodes: [...wanted] }
    // One home that cannot be reached must not keep back what the others have.
    await ask(owner.bare, JSON.stringify(comer)).catch(onFailure)
  }

  /** At the home of the account. */
  async asked(account: BareJid, payload: string): Promise<void> {
    const { to, nodes } = JSON.parse(payload) as Comer
    const [owner, comer] = [parseJid(account), parseJid(to)]
    if (owner !== undefined && comer !== undefined) await this.#send(owner, comer, new Set(nodes), () => true)
  }

  async #send(owner: Address, to: Address, wanted: ReadonlySet<string>, isThere: () => boolean): Promise<void> {
    const { pubsub, blocking, profileOf } = this.#parts
    const nodes = await pubsub.nodes(owner.bare)
    const wantedOnes = nodes.filter((node) => isSentToComers(node) && wanted.has(node.name))
    if (wantedOnes.length === 0 || (await blocking.isBlocked(owner.bare, to))) return
    const profile = profileOf(owner)
    for (const node of wantedOnes) {
      if (!isThere()) return
      await pubsub.sendLast(profile, node, to)
    }
  }
}

const isSentToComers = ({ config }: NodeFacts): boolean =>
  config.nodeType === 'leaf' && config.deliverNotifications && config.sendLast === 'on_sub_and_presence'
