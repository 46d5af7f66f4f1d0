import type { Address } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { affiliationOf } from './access.ts'
import type { HostProfile, NodeFacts } from './api.ts'
import { checkConfig } from './config-form.ts'
import { refusal } from './errors.ts'
import type { Host, Node } from './host.ts'
import type { NodeConfig } from './node-config.ts'
import { isStorableName } from './stored.ts'

/** RFC 7622 §3.4: a node's name may be a resourcepart (XEP-0060 §4.6.1), which has no more bytes. */
const MAX_NAME_BYTES = 1_023

/** Whether a node can be called this. */
export const isNodeName = (name: string): boolean => isStorableName(name, MAX_NAME_BYTES)

/** Whether an item can have this id. */
export const isItemId = (id: string): boolean => isStorableName(id, MAX_NAME_BYTES)

/** What a new node is to be called and like, and who wants it. */
export interface NodeWish {
  readonly name: string
  readonly wishes: Partial<NodeConfig>
  readonly by: Address
  readonly nowMs: number
}

/**
 * Hands a node that is yet to be written to the task that makes it (XEP-0060 §8.1); refuses what the host does not allow. Until the task is done the node
 * counts as if it were there, so that no more are made at once than there may be.
 */
export const makingNode = async <T>(
  profile: HostProfile,
  host: Host,
  { name, wishes, by, nowMs }: NodeWish,
  make: (facts: NodeFacts) => Promise<T>,
): Promise<T> => {
  // §8.1.1: the order in which the section names its errors.
  if (affiliationOf(profile, undefined, by.bare) !== 'owner' && !(await profile.mayCreate(by))) throw new StanzaError('forbidden')
  if (!isNodeName(name)) throw new StanzaError('not-acceptable', { text: `a node name has 1 to ${MAX_NAME_BYTES} bytes` })
  if (host.nodes.has(name)) throw new StanzaError('conflict')
  if (host.nodes.size + host.making >= profile.limits.nodes || isGreedy(profile, host, by))
    throw refusal('conflict', 'max-nodes-exceeded')
  const config: NodeConfig = { ...profile.defaultsFor(name), ...wishes }
  checkConfig(config, profile.limits)
  for (const collection of config.collections) checkAssociation(profile, host, name, collection, by)
  const isHost = by.bare === profile.address.bare
  host.making++
  try {
    return await make({
      owner: profile.address.bare,
      name,
      config,
      affiliations: isHost ? new Map() : new Map([[by.bare, 'owner']]),
      creator: by.bare,
      createdAtMs: nowMs,
    })
  } finally {
    host.making--
  }
}

/** Whether somebody has made so many nodes that the others are for others. */
const isGreedy = (profile: HostProfile, host: Host, { bare }: Address): boolean => {
  const { nodesPerCreator } = profile.limits
  if (nodesPerCreator === undefined || affiliationOf(profile, undefined, bare) === 'owner') return false
  let made = 0
  for (const { facts } of host.nodes.values()) if (facts.creator === bare) made++
  return made >= nodesPerCreator
}

/** Whether somebody may put a node into a collection (XEP-0248 §7.2). */
export const checkAssociation = (profile: HostProfile, host: Host, name: string, collection: string, by: Address): Node => {
  const above = host.nodes.get(collection)
  if (above === undefined) throw new StanzaError('item-not-found')
  const { config } = above.facts
  // §7.2.3: only collections hold nodes, and none holds itself, near or far.
  const isCycle = collection === name || [...host.collectionsAbove(above).keys()].some((each) => each.name === name)
  if (config.nodeType !== 'collection' || isCycle) throw refusal('not-allowed', 'invalid-options')
  const isOwner = affiliationOf(profile, above.facts, by.bare) === 'owner'
  const isListed = config.childrenPolicy === 'whitelist' && config.childrenWhitelist.includes(by.bare)
  if (!isOwner && config.childrenPolicy !== 'all' && !isListed) throw new StanzaError('forbidden')
  const most = config.childrenMax === 'max' ? profile.limits.nodes : config.childrenMax
  if (host.childrenOf(collection).size >= most) throw refusal('not-allowed', 'max-nodes-exceeded')
  return above
}
