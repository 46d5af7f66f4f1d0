import type { RosterApi } from '#server/modules/roster.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { HostProfile, NodeFacts } from './api.ts'
import { refusal } from './errors.ts'
import type { Affiliation } from './node-config.ts'

/** Why something is refused, or `undefined` when it is not. */
export type Verdict = StanzaError | undefined

const then = <T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> =>
  value instanceof Promise ? value.then(next) : next(value)

/** What an entity is at a node (XEP-0060 §4.1): what the host says of it comes first. */
export const affiliationOf = (profile: HostProfile, node: NodeFacts | undefined, bare: BareJid): Affiliation => {
  if (bare === profile.address.bare) return 'owner'
  return profile.affiliationOf(bare) ?? node?.affiliations.get(bare) ?? 'none'
}

/** Refuses everybody but owners (XEP-0060 §8). */
export const requireOwner = (profile: HostProfile, node: NodeFacts, asker: Address): void => {
  if (affiliationOf(profile, node, asker.bare) !== 'owner') throw new StanzaError('forbidden')
}

/** The accounts that own a node. */
export const ownersOf = (profile: HostProfile, node: NodeFacts): readonly BareJid[] => {
  const owners: BareJid[] = profile.address.localpart === '' ? [] : [profile.address.bare]
  for (const [jid, affiliation] of node.affiliations) if (affiliation === 'owner') owners.push(jid)
  return owners
}

/** Who may read, subscribe and publish (XEP-0060 §4.1, §4.5). */
export class Access {
  readonly #roster: Pick<RosterApi, 'get' | 'maySeePresence'>
  readonly #isLocal: (address: Address) => boolean

  constructor(roster: Pick<RosterApi, 'get' | 'maySeePresence'>, isLocal: (address: Address) => boolean) {
    this.#roster = roster
    this.#isLocal = isLocal
  }

  /**
   * Whether somebody may read the node, and is told what happens there. `isSubscribed` is asked where that alone entitles (§6.5.1); without a promise for
   * most.
   */
  mayRead(profile: HostProfile, node: NodeFacts, asker: Address, isSubscribed: () => boolean): Verdict | Promise<Verdict> {
    const affiliation = affiliationOf(profile, node, asker.bare)
    if (affiliation === 'owner' || affiliation === 'publisher' || affiliation === 'member') return undefined
    // §4.1: the one is banned, the other writes only.
    if (affiliation === 'outcast' || affiliation === 'publish-only') return new StanzaError('forbidden')
    switch (node.config.accessModel) {
      case 'open':
        return undefined
      case 'presence':
        return then(this.#seesPresence(profile, node, asker), (sees) =>
          sees ? undefined : refusal('not-authorized', 'presence-subscription-required'),
        )
      case 'roster':
        return then(this.#isInGroup(profile, node, asker), (isIn) =>
          isIn ? undefined : refusal('not-authorized', 'not-in-roster-group'),
        )
      case 'authorize':
        return isSubscribed() ? undefined : refusal('not-authorized', 'not-subscribed')
      case 'whitelist':
        return refusal('not-allowed', 'closed-node')
    }
  }

  /** §7.1.3.1; `isSubscribed` is asked where that alone entitles. */
  mayPublish(profile: HostProfile, node: NodeFacts, asker: Address, isSubscribed: () => boolean): Verdict {
    const affiliation = affiliationOf(profile, node, asker.bare)
    if (affiliation === 'owner' || affiliation === 'publisher' || affiliation === 'publish-only') return undefined
    const { publishModel } = node.config
    const isOpen = publishModel === 'open' || (publishModel === 'subscribers' && isSubscribed())
    return isOpen && affiliation !== 'outcast' ? undefined : new StanzaError('forbidden')
  }

  #seesPresence(profile: HostProfile, node: NodeFacts, asker: Address): boolean | Promise<boolean> {
    return this.#someOwner(profile, node, (owner) => this.#roster.maySeePresence(asker.jid, owner))
  }

  #isInGroup(profile: HostProfile, node: NodeFacts, asker: Address): boolean | Promise<boolean> {
    const allowed = node.config.rosterGroups
    return this.#someOwner(profile, node, (owner) =>
      then(this.#roster.maySeePresence(asker.jid, owner), (sees) =>
        sees
          ? then(this.#roster.get(owner, asker.bare), (item) => item?.groups?.some((group) => allowed.includes(group)) === true)
          : false,
      ),
    )
  }

  /** An account at its own node comes first, and is nearly always the only owner: this is asked for everybody an event goes to. */
  #someOwner(
    profile: HostProfile,
    node: NodeFacts,
    test: (owner: BareJid) => boolean | Promise<boolean>,
  ): boolean | Promise<boolean> {
    const { address } = profile
    let answer = address.localpart !== '' && this.#isLocal(address) ? test(address.bare) : false
    for (const [jid, affiliation] of node.affiliations) {
      if (answer === true) return true
      const owner = affiliation === 'owner' ? parseJid(jid) : undefined
      if (owner !== undefined && this.#isLocal(owner)) answer = then(answer, (found) => found || test(owner.bare))
    }
    return answer
  }
}
