import type { IqRequest } from '#server/core/module.ts'
import { type DataForm, formElement, readForm } from '#stanzas/data-form.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { NS_DATA_FORMS, NS_PUBSUB, NS_PUBSUB_OWNER } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { affiliationOf } from './access.ts'
import type { Draft, HostProfile } from './api.ts'
import { childrenIn, configForm, NODE_CONFIG, PUBLISH_OPTIONS, readConfig } from './config-form.ts'
import { refusal } from './errors.ts'
import type { Affiliation, NodeConfig } from './node-config.ts'
import type { Owning } from './owning.ts'
import type { Parts } from './parts.ts'
import type { Publishing } from './publishing.ts'
import type { Reading } from './reading.ts'
import type { Afterwards, Subscribing, SubscriptionChange } from './subscribing.ts'

/** Longest address that a deleted node may leave behind. */
const MAX_REDIRECT = 3_071

type Answer = Element | undefined | Promise<Element | undefined>
type Handler = (profile: HostProfile, asker: Address, request: Element, afterwards: Afterwards) => Answer

/** Reads what is asked of a host and answers it (XEP-0060 §5–8). */
export class Requests {
  readonly #parts: Parts
  readonly #publishing: Publishing
  readonly #owning: Owning
  readonly #handlers: ReadonlyMap<string, Handler>

  constructor(
    parts: Parts,
    {
      publishing,
      reading,
      subscribing,
      owning,
    }: {
      readonly publishing: Publishing
      readonly reading: Reading
      readonly subscribing: Subscribing
      readonly owning: Owning
    },
  ) {
    this.#parts = parts
    this.#publishing = publishing
    this.#owning = owning
    const get = (name: string, handle: Handler): [string, Handler] => [`get ${NS_PUBSUB} ${name}`, handle]
    const set = (name: string, handle: Handler): [string, Handler] => [`set ${NS_PUBSUB} ${name}`, handle]
    const ownerGet = (name: string, handle: Handler): [string, Handler] => [`get ${NS_PUBSUB_OWNER} ${name}`, handle]
    const ownerSet = (name: string, handle: Handler): [string, Handler] => [`set ${NS_PUBSUB_OWNER} ${name}`, handle]
    this.#handlers = new Map([
      get('items', (profile, asker, request) => reading.answer(profile, asker, request)),
      get('subscriptions', (profile, asker, request) => subscribing.subscriptions(profile, asker, request)),
      get('affiliations', (profile, asker, request) => this.#ownAffiliations(profile, asker, request)),
      get('options', (profile, asker, request) => subscribing.options(profile, asker, request)),
      get('default', (profile, _, request) => subscribing.defaultOptions(profile, request)),
      set('create', (profile, asker, request) => this.#create(profile, asker, request)),
      set('publish', (profile, asker, request) => this.#publish(profile, asker, request)),
      set('retract', (profile, asker, request) => this.#retract(profile, asker, request)),
      set('subscribe', (profile, asker, request, afterwards) => subscribing.subscribe(profile, asker, request, afterwards)),
      set('unsubscribe', (profile, asker, request) => subscribing.unsubscribe(profile, asker, request)),
      set('options', (profile, asker, request) => subscribing.setOptions(profile, asker, request)),
      ownerGet('configure', (profile, asker, request) => this.#config(profile, asker, request)),
      ownerGet('default', (profile, _, request) => defaultConfig(profile, request)),
      ownerGet('affiliations', (profile, asker, request) => this.#affiliations(profile, asker, request)),
      ownerGet('subscriptions', (profile, asker, request) => this.#subscriptions(profile, asker, request)),
      ownerSet('configure', (profile, asker, request) => this.#configure(profile, asker, request)),
      ownerSet('delete', (profile, asker, request) => this.#delete(profile, asker, request)),
      ownerSet('purge', (profile, asker, request) => this.#purge(profile, asker, request)),
      ownerSet('affiliations', (profile, asker, request) => this.#setAffiliations(profile, asker, request)),
      ownerSet('subscriptions', (profile, asker, request) => this.#setSubscriptions(profile, asker, request)),
      ownerSet('collection', (profile, asker, request) => this.#associate(profile, asker, request)),
    ])
  }

  async handle(profile: HostProfile, { stanza, payload, fromAddress, session }: IqRequest): Promise<Element | undefined> {
    const [first] = payload.getChildren()
    if (first === undefined || first.ns !== payload.ns) throw new StanzaError('bad-request')
    const handle = this.#handlers.get(`${stanza.type} ${payload.ns} ${first.name}`)
    if (handle === undefined) throw new StanzaError('bad-request')
    return handle(profile, fromAddress, payload, (task) => {
      const run = (): void => void task().catch((error: unknown) => this.#parts.onFailure(error))
      // Who asks from elsewhere is answered in this turn of the loop.
      if (session === undefined) setImmediate(run)
      else session.whenHandled(run)
    })
  }

  /** XEP-0060 §8.1 */
  async #create(profile: HostProfile, asker: Address, request: Element): Promise<Element | undefined> {
    const name = request.getChild('create')?.attrs.node
    const configure = request.getChild('configure')
    // §8.1.3: it follows, and does not name the node again.
    if (configure !== undefined && (configure.attrs.node !== undefined || request.getChildren()[0]?.name !== 'create'))
      throw new StanzaError('bad-request')
    const config = configure === undefined || configure.children.length === 0 ? {} : wishesIn(configure)
    const made = await this.#owning.create(profile, name === '' ? undefined : name, config, asker)
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'create', { node: made.name }))
  }

  /** §7.1 */
  async #publish(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const asked = request.getChild('publish')
    const name = nodeIn(asked)
    const options = request.getChild('publish-options')
    const drafts = (asked?.getChildren('item') ?? []).map(readDraft)
    const published = await this.#publishing.publish(profile, {
      name,
      drafts,
      by: asker,
      wanted: options === undefined ? undefined : readConfig(formIn(options), PUBLISH_OPTIONS),
      creates: profile.autoCreates,
    })
    const listed = published.map(({ id }) => el(NS_PUBSUB, 'item', { id }))
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'publish', { node: name }, ...listed))
  }

  /** §7.2 */
  async #retract(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('retract')
    const name = nodeIn(asked)
    const ids = (asked?.getChildren('item') ?? []).flatMap(({ attrs: { id } }) => (id === undefined || id === '' ? [] : [id]))
    // §7.2.3.4
    if (asked === undefined || ids.length === 0 || ids.length < asked.getChildren('item').length)
      throw refusal('bad-request', 'item-required')
    const notify = asked.attrs.notify === 'true' || asked.attrs.notify === '1'
    await this.#publishing.retract(profile, { name, ids, by: asker, notify, isStrict: true })
    return undefined
  }

  /** §5.7 */
  async #ownAffiliations(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const name = request.getChild('affiliations')?.attrs.node
    const host = await this.#parts.nodes.host(profile.address.bare)
    const listed: Element[] = []
    for (const { facts } of host.nodes.values()) {
      const affiliation = affiliationOf(profile, facts, asker.bare)
      if (affiliation !== 'none' && (name === undefined || name === facts.name))
        listed.push(el(NS_PUBSUB, 'affiliation', { node: facts.name, affiliation }))
    }
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'affiliations', { node: name }, ...listed))
  }

  /** §8.2.1 */
  async #config(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const name = nodeIn(request.getChild('configure'))
    const config = await this.#owning.config(profile, name, asker)
    const children = config.nodeType === 'collection' ? await this.#owning.children(profile, name) : []
    return ownerAnswer(el(NS_PUBSUB_OWNER, 'configure', { node: name }, formElement(configForm('form', config, children))))
  }

  /** §8.2.4 */
  async #configure(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('configure')
    const name = nodeIn(asked)
    const form = formIn(asked)
    // A form that is cancelled changes nothing, but is an owner's to cancel.
    if (form.type === 'cancel') await this.#owning.config(profile, name, asker)
    else {
      const change = readConfig(form, NODE_CONFIG)
      const children = childrenIn(form)
      const replace = children === undefined ? undefined : await this.#owning.replaceChildren(profile, name, children, asker)
      await this.#owning.configure(profile, name, change, asker)
      await replace?.()
    }
    return undefined
  }

  /** §8.4 */
  async #delete(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('delete')
    const redirect = asked?.getChild('redirect')?.attrs.uri
    if (redirect !== undefined && redirect.length > MAX_REDIRECT) throw new StanzaError('bad-request')
    await this.#owning.delete(profile, nodeIn(asked), redirect, asker)
    return undefined
  }

  /** §8.5 */
  async #purge(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    await this.#publishing.purge(profile, nodeIn(request.getChild('purge')), asker)
    return undefined
  }

  /** §8.9.1 */
  async #affiliations(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const name = nodeIn(request.getChild('affiliations'))
    const listed = [...(await this.#owning.affiliations(profile, name, asker))].map(([jid, affiliation]) =>
      el(NS_PUBSUB_OWNER, 'affiliation', { jid, affiliation }),
    )
    return ownerAnswer(el(NS_PUBSUB_OWNER, 'affiliations', { node: name }, ...listed))
  }

  /** §8.9.2 */
  async #setAffiliations(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('affiliations')
    const name = nodeIn(asked)
    const wanted = new Map<BareJid, Affiliation>()
    for (const { attrs } of asked?.getChildren('affiliation') ?? []) {
      // §8.9.2.1: without a value nothing changes.
      if (attrs.affiliation === undefined) continue
      const address = parseJid(attrs.jid ?? '')
      const affiliation = AFFILIATIONS.find((each) => each === attrs.affiliation)
      if (address === undefined || affiliation === undefined) throw new StanzaError('bad-request')
      wanted.set(address.bare, affiliation)
    }
    const changes = [...wanted].map(([jid, affiliation]) => ({ jid, affiliation }))
    await this.#owning.setAffiliations(profile, name, changes, asker, (facts) => {
      // §8.9.2.4: those that were to change, as they are.
      const unaltered = changes.map(({ jid }) =>
        el(NS_PUBSUB_OWNER, 'affiliation', { jid, affiliation: affiliationOf(profile, facts, jid) }),
      )
      return new StanzaError('not-acceptable', {
        beside: ownerAnswer(el(NS_PUBSUB_OWNER, 'affiliations', { node: name }, ...unaltered)),
      })
    })
    return undefined
  }

  /** §8.8.1 */
  async #subscriptions(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const name = nodeIn(request.getChild('subscriptions'))
    const listed = (await this.#owning.subscribers(profile, name, asker)).map(({ jid }) =>
      el(NS_PUBSUB_OWNER, 'subscription', { jid, subscription: 'subscribed' }),
    )
    return ownerAnswer(el(NS_PUBSUB_OWNER, 'subscriptions', { node: name }, ...listed))
  }

  /** §8.8.2 */
  async #setSubscriptions(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('subscriptions')
    const changes = new Map<string, SubscriptionChange>()
    for (const { attrs } of asked?.getChildren('subscription') ?? []) {
      if (attrs.subscription === undefined) continue
      const address = parseJid(attrs.jid ?? '')
      const state = STATES.find((each) => each === attrs.subscription)
      if (address === undefined || state === undefined) throw new StanzaError('bad-request')
      changes.set(address.jid, { address, state })
    }
    await this.#owning.setSubscriptions(profile, nodeIn(asked), [...changes.values()], asker)
    return undefined
  }

  /** XEP-0248 §7.4, §7.5 */
  async #associate(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('collection')
    const [what] = asked?.getChildren() ?? []
    if (what?.name !== 'associate' && what?.name !== 'dissociate') throw new StanzaError('bad-request')
    await this.#owning.associate(profile, nodeIn(asked), nodeIn(what), asker, what.name === 'associate')
    return undefined
  }
}

const AFFILIATIONS: readonly Affiliation[] = ['owner', 'publisher', 'publish-only', 'member', 'none', 'outcast']
const STATES = ['subscribed', 'pending', 'none'] as const

const ownerAnswer = (child: Element): Element => el(NS_PUBSUB_OWNER, 'pubsub', {}, child)

/** XEP-0060 §7.2.3.3, §8.2.3.3 */
const nodeIn = (element: Element | undefined): string => {
  const name = element?.attrs.node
  if (name === undefined || name === '') throw refusal('bad-request', 'nodeid-required')
  return name
}

/** §7.1.3.6: an item has one payload at most. */
const readDraft = (item: Element): Draft => {
  const [payload, ...others] = item.getChildren()
  if (others.length > 0) throw refusal('bad-request', 'invalid-payload')
  const { id } = item.attrs
  return { id: id === '' ? undefined : id, payload }
}

/** What a creator wishes; a form that is cancelled wishes nothing. */
const wishesIn = (configure: Element): Partial<NodeConfig> => {
  const form = formIn(configure)
  return form.type === 'cancel' ? {} : readConfig(form, NODE_CONFIG)
}

const formIn = (parent: Element | undefined): DataForm => {
  const element = parent?.getChild('x', NS_DATA_FORMS)
  const form = element === undefined ? undefined : readForm(element)
  if (form === undefined) throw new StanzaError('bad-request')
  return form
}

/** §8.3 */
const defaultConfig = (profile: HostProfile, request: Element): Element => {
  const { type } = request.getChild('default')?.attrs ?? {}
  if (type !== undefined && type !== 'leaf' && type !== 'collection') throw new StanzaError('bad-request')
  const config: NodeConfig = { ...profile.defaultsFor(undefined), nodeType: type ?? 'leaf' }
  return ownerAnswer(el(NS_PUBSUB_OWNER, 'default', { type }, formElement(configForm('form', config))))
}
