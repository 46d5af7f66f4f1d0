import { formTypeField } from '#stanzas/data-form.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import type { DiscoInfo } from '#stanzas/disco-info.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { Address } from '#stanzas/jid.ts'
import { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PUBSUB } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { affiliationOf, ownersOf } from './access.ts'
import type { HostProfile, NodeFacts } from './api.ts'
import { configFields } from './config-form.ts'
import { isOver } from './contents.ts'
import type { Node } from './host.ts'
import type { Parts } from './parts.ts'
import type { Reading } from './reading.ts'

const META_DATA = 'http://jabber.org/protocol/pubsub#meta-data'

/** How many nodes or items one answer lists. */
const MAX_LISTED = 1_000

/** What there is and what it is like (XEP-0060 §5.2–5.5). */
export class Discovery {
  readonly #parts: Parts
  readonly #reading: Reading

  constructor(parts: Parts, reading: Reading) {
    this.#parts = parts
    this.#reading = reading
  }

  /** §5.3, §5.4 */
  async nodeInfo(profile: HostProfile, name: string, asker: Address): Promise<DiscoInfo> {
    const node = await this.#visible(profile, name, asker)
    const { facts } = node
    const { subscriptions } = await this.#parts.nodes.contents(node)
    const nowMs = this.#parts.nodes.clock.nowMs()
    const subscribers = [...subscriptions.values()].filter((each) => each.state === 'subscribed' && !isOver(each, nowMs)).length
    return {
      identities: [
        { category: 'pubsub', type: facts.config.nodeType, ...(facts.config.title !== '' && { name: facts.config.title }) },
      ],
      features: [NS_PUBSUB, NS_DISCO_INFO, NS_DISCO_ITEMS],
      forms: [
        {
          type: 'result',
          fields: [
            formTypeField(META_DATA),
            ...configFields(facts.config, METADATA),
            { var: 'pubsub#creator', type: 'jid-single', label: 'Who made it', values: [facts.creator] },
            {
              var: 'pubsub#creation_date',
              type: 'text-single',
              label: 'Since when it is there',
              values: [formatDateTime(facts.createdAtMs)],
            },
            { var: 'pubsub#owner', type: 'jid-multi', label: 'Its owners', values: ownersOf(profile, facts) },
            { var: 'pubsub#publisher', type: 'jid-multi', label: 'Who publishes to it', values: publishersOf(facts) },
            {
              var: 'pubsub#num_subscribers',
              type: 'text-single',
              label: 'How many are subscribed',
              values: [String(subscribers)],
            },
          ],
        },
      ],
    }
  }

  /** §5.2, §5.5 */
  async items(profile: HostProfile, name: string | undefined, asker: Address): Promise<readonly Element[]> {
    const host = await this.#parts.nodes.host(profile.address.bare)
    if (name === undefined) {
      // Those in collections are found there (XEP-0248 §4).
      const top = [...host.nodes.values()].filter((node) => !host.isInCollection(node))
      return this.#list(profile, top, asker)
    }
    const node = await this.#visible(profile, name, asker)
    if (node.facts.config.nodeType === 'collection') return this.#list(profile, [...host.childrenOf(name)], asker)
    const contents = await this.#parts.nodes.contents(node)
    await this.#reading.check(profile, node.facts, contents, asker)
    const ids = this.#reading.ids(profile, node, contents).slice(-MAX_LISTED)
    return ids.map((id) => el(NS_DISCO_ITEMS, 'item', { jid: profile.address.jid, name: id }))
  }

  async #list(profile: HostProfile, nodes: readonly Node[], asker: Address): Promise<readonly Element[]> {
    const listed: Element[] = []
    for (const { facts } of nodes) {
      if (listed.length >= MAX_LISTED) break
      if (!(await this.#maySee(profile, facts, asker))) continue
      const { title } = facts.config
      listed.push(
        el(NS_DISCO_ITEMS, 'item', { jid: profile.address.jid, node: facts.name, name: title === '' ? undefined : title }),
      )
    }
    return listed
  }

  /** A node that is not for everybody is known to those only who may read it, or could ask to be let in (§14.2). */
  async #maySee(profile: HostProfile, facts: NodeFacts, asker: Address): Promise<boolean> {
    if (affiliationOf(profile, facts, asker.bare) === 'publish-only') return true
    return (await this.#parts.access.mayRead(profile, facts, asker, () => true)) === undefined
  }

  async #visible(profile: HostProfile, name: string, asker: Address): Promise<Node> {
    const node = (await this.#parts.nodes.host(profile.address.bare)).nodes.get(name)
    if (node === undefined || !(await this.#maySee(profile, node.facts, asker))) throw new StanzaError('item-not-found')
    return node
  }
}

const METADATA = [
  'title',
  'description',
  'language',
  'payloadType',
  'contacts',
  'accessModel',
  'publishModel',
  'maxItems',
  'collections',
] as const

const publishersOf = ({ affiliations }: NodeFacts): readonly string[] =>
  [...affiliations].flatMap(([jid, affiliation]) => (affiliation === 'publisher' || affiliation === 'publish-only' ? [jid] : []))
