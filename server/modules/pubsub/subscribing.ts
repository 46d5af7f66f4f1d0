import { newId } from '#server/base/random.ts'
import { BoundedCache } from '#server/core/bounded-cache.ts'
import type { Router } from '#server/core/router.ts'
import { booleanOf, type DataForm, firstValueOf, formElement, formTypeField, formTypeOf, readForm } from '#stanzas/data-form.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { NS_DATA_FORMS, NS_PUBSUB } from '#stanzas/namespaces.ts'
import { message, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { affiliationOf, ownersOf } from './access.ts'
import type { HostProfile, Item, NodeFacts } from './api.ts'
import { type Contents, isOver, type Subscription } from './contents.ts'
import { refusal, unsupported } from './errors.ts'
import type { Node } from './host.ts'
import type { Change } from './node-store.ts'
import { type Parts, unlessItFails } from './parts.ts'
import { subscribedKey, subscribedOf, subscriptionKey } from './stored.ts'
import { DEFAULT_OPTIONS, optionsForm, readOptions } from './subscription-options.ts'

const WITHOUT_SUBSCRIPTIONS = { maxEntries: 50_000, maxAgeMs: 3_600_000 }

const SUBSCRIBE_AUTHORIZATION = 'http://jabber.org/protocol/pubsub#subscribe_authorization'

/** A change of one subscription that an owner wants (XEP-0060 §8.8.2); `none` ends it. */
export interface SubscriptionChange {
  readonly address: Address
  readonly state: 'subscribed' | 'pending' | 'none'
}

/** Does something once the asker has the answer. */
export type Afterwards = (task: () => Promise<void>) => void

/** What makes a subscription durable, under the node and under the subscriber. */
export const subscriptionChanges = (node: string, { address, state, options }: Subscription): readonly Change[] => [
  { key: subscriptionKey(node, address.jid), value: { kind: 'subscription', state, options } },
  { key: subscribedKey(address.bare, node, address.jid), value: { kind: 'subscribed', state } },
]

/** What ends one. */
export const subscriptionRemoval = (node: string, { jid, bare }: Address): readonly Change[] => [
  { key: subscriptionKey(node, jid), value: undefined },
  { key: subscribedKey(bare, node, jid), value: undefined },
]

/** Subscribers come and go, say how they want to be told, and are let in by owners (XEP-0060 §6, §8.6, §8.8). */
export class Subscribing {
  readonly #parts: Parts
  readonly #router: Router
  readonly #lastOf: (node: Node, contents: Contents) => Item | undefined | Promise<Item | undefined>
  /** Accounts without any subscription at the service are remembered, so that their logins ask nothing. */
  #without: BoundedCache<BareJid, true>
  /** Counts subscriptions that began, so that what was read before one of them is not remembered after it. */
  #changes = 0

  constructor(
    parts: Parts,
    router: Router,
    lastOf: (node: Node, contents: Contents) => Item | undefined | Promise<Item | undefined>,
  ) {
    this.#parts = parts
    this.#router = router
    this.#lastOf = lastOf
    this.#without = new BoundedCache(parts.nodes.clock, WITHOUT_SUBSCRIPTIONS)
  }

  /** §6.1 */
  async subscribe(profile: HostProfile, asker: Address, request: Element, afterwards: Afterwards): Promise<Element> {
    const asked = request.getChild('subscribe')
    const address = subscriberIn(asked)
    // §6.1.3.1
    if (address === undefined || address.bare !== asker.bare) throw refusal('bad-request', 'invalid-jid')
    const form = formAfterSubscribe(request)
    return this.#inTurn(profile, asked?.attrs.node, async (node, contents) => {
      const nowMs = this.#parts.nodes.clock.nowMs()
      const { facts, name } = node
      const own = contents.subscriptions.get(address.jid)
      const before = own === undefined || isOver(own, nowMs) ? undefined : own
      // §6.1.3.7
      if (before?.state === 'pending') throw refusal('not-authorized', 'pending-subscription')
      const mustAsk = await this.#mustAsk(profile, facts, address)
      // §6.1.3.10
      if (!facts.config.isSubscribable) throw unsupported('subscribe')
      const options = form === undefined ? (before?.options ?? DEFAULT_OPTIONS) : readOptions(form, DEFAULT_OPTIONS, nowMs)
      if (before === undefined) await this.#checkRoom(profile, contents, address)
      const subscription: Subscription = { address, options, state: mustAsk && before === undefined ? 'pending' : 'subscribed' }
      await this.#save(node, subscription)
      contents.subscribe(subscription)
      if (before === undefined) {
        this.#tellNew(profile, facts, subscription)
        if (subscription.state === 'subscribed') afterwards(() => this.#sendLast(profile, node, contents, address))
      }
      return el(
        NS_PUBSUB,
        'pubsub',
        {},
        subscriptionElement(name, subscription, el(NS_PUBSUB, 'subscribe-options')),
        form === undefined
          ? undefined
          : el(NS_PUBSUB, 'options', {}, formElement(optionsForm('result', options, facts.config.nodeType === 'collection'))),
      )
    })
  }

  /** Whether an owner has to agree (§6.1.4); refuses whoever may not subscribe. */
  async #mustAsk(profile: HostProfile, facts: NodeFacts, address: Address): Promise<boolean> {
    let isEntitled = true
    const verdict = await this.#parts.access.mayRead(profile, facts, address, () => {
      isEntitled = false
      return true
    })
    if (verdict !== undefined) throw verdict
    return !isEntitled
  }

  /** §6.1.3.9 */
  async #checkRoom(profile: HostProfile, contents: Contents, address: Address): Promise<void> {
    const { subscriptionsPerNode, subscriptionsPerSubscriber } = this.#parts.limits
    const { nodes } = this.#parts
    const isFull =
      contents.subscriptions.size >= subscriptionsPerNode ||
      (await nodes.list(profile.address.bare, subscribedOf(address.bare), undefined, subscriptionsPerSubscriber)).length >=
        subscriptionsPerSubscriber
    if (isFull) throw refusal('policy-violation', 'too-many-subscriptions', 'wait')
  }

  async #save(node: Node, subscription: Subscription): Promise<void> {
    this.#remember(subscription.address)
    await this.#parts.nodes.write(node.host, subscriptionChanges(node.name, subscription))
  }

  #remember({ bare }: Address): void {
    this.#changes++
    this.#without.delete(bare)
  }

  #tellNew(profile: HostProfile, facts: NodeFacts, { address, state }: Subscription): void {
    if (state === 'pending') this.#askOwners(profile, facts, address)
    else this.#tellOwners(profile, facts, address, 'subscribed')
  }

  /** §6.1.7 */
  async #sendLast(profile: HostProfile, node: Node, contents: Contents, to: Address): Promise<void> {
    const { config } = node.facts
    if (config.sendLast === 'never' || !config.deliverNotifications) return
    const item = await this.#lastOf(node, contents)
    if (item !== undefined) this.#parts.notifier.last(profile, node.facts, item, to)
  }

  /** §6.2 */
  async unsubscribe(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('unsubscribe')
    const address = subscriberIn(asked)
    if (address === undefined) throw refusal('bad-request', 'invalid-jid')
    return this.#inTurn(profile, asked?.attrs.node, async (node, contents) => {
      // §6.2.3.3
      if (address.bare !== asker.bare) throw new StanzaError('forbidden')
      this.#existing(contents, address, 'cancel')
      await this.#end(profile, node, contents, address)
      return undefined
    })
  }

  async #end(profile: HostProfile, node: Node, contents: Contents, address: Address): Promise<void> {
    await this.#parts.nodes.write(node.host, subscriptionRemoval(node.name, address))
    contents.unsubscribe(address)
    this.#tellOwners(profile, node.facts, address, 'none')
  }

  /** §6.3.2 */
  async options(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const asked = request.getChild('options')
    const address = subscriberWithOptions(asked)
    return this.#inTurn(profile, asked?.attrs.node, (node, contents) => {
      if (address.bare !== asker.bare) throw new StanzaError('forbidden')
      const { options } = this.#existing(contents, address, 'modify')
      const form = formElement(optionsForm('form', options, node.facts.config.nodeType === 'collection'))
      return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'options', { node: node.name, jid: address.jid }, form))
    })
  }

  /** §6.3.5 */
  async setOptions(profile: HostProfile, asker: Address, request: Element): Promise<undefined> {
    const asked = request.getChild('options')
    const address = subscriberWithOptions(asked)
    return this.#inTurn(profile, asked?.attrs.node, async (node, contents) => {
      if (address.bare !== asker.bare) throw new StanzaError('forbidden')
      const before = this.#existing(contents, address, 'modify')
      const form = readFormIn(asked)
      if (form.type === 'cancel') return undefined
      const options = readOptions(form, before.options, this.#parts.nodes.clock.nowMs())
      const subscription = { ...before, options }
      await this.#parts.nodes.write(node.host, subscriptionChanges(node.name, subscription))
      contents.subscribe(subscription)
      return undefined
    })
  }

  /** §6.4 */
  async defaultOptions(profile: HostProfile, request: Element): Promise<Element> {
    const name = request.getChild('default')?.attrs.node
    const host = await this.#parts.nodes.host(profile.address.bare)
    const node = name === undefined ? undefined : host.nodes.get(name)
    if (name !== undefined && node === undefined) throw new StanzaError('item-not-found')
    const form = formElement(optionsForm('result', DEFAULT_OPTIONS, node?.facts.config.nodeType === 'collection'))
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'default', { node: name }, form))
  }

  /** §5.6 */
  async subscriptions(profile: HostProfile, asker: Address, request: Element): Promise<Element> {
    const name = request.getChild('subscriptions')?.attrs.node
    const { nodes } = this.#parts
    const listed: Element[] = []
    for (const { parts, value } of await nodes.list(profile.address.bare, subscribedOf(asker.bare))) {
      const [node = '', jid = ''] = parts
      if (value.kind !== 'subscribed' || (name !== undefined && node !== name)) continue
      listed.push(el(NS_PUBSUB, 'subscription', { node, jid, subscription: value.state }))
    }
    return el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'subscriptions', { node: name }, ...listed))
  }

  /** §8.8.2: what an owner changes, all or nothing. */
  async change(profile: HostProfile, node: Node, contents: Contents, changes: readonly SubscriptionChange[]): Promise<void> {
    const { nodes, notifier, limits } = this.#parts
    const added = changes.filter(({ address, state }) => state !== 'none' && !contents.subscriptions.has(address.jid)).length
    if (added > 0 && contents.subscriptions.size + added > limits.subscriptionsPerNode)
      throw refusal('policy-violation', 'too-many-subscriptions', 'wait')
    const writes: Change[] = []
    const effects: (() => void | Promise<void>)[] = []
    for (const { address, state } of changes) {
      const before = contents.subscriptions.get(address.jid)
      if ((before?.state ?? 'none') === state) continue
      if (state === 'none') writes.push(...subscriptionRemoval(node.name, address))
      const subscription: Subscription | undefined =
        state === 'none' ? undefined : { address, state, options: before?.options ?? DEFAULT_OPTIONS }
      if (subscription !== undefined) {
        this.#remember(address)
        writes.push(...subscriptionChanges(node.name, subscription))
      }
      effects.push(() => {
        if (subscription === undefined) contents.unsubscribe(address)
        else contents.subscribe(subscription)
        // §8.8.4, §12.14
        notifier.subscription(profile, node.facts, address, address, state)
        return state === 'subscribed' ? this.#sendLast(profile, node, contents, address) : undefined
      })
    }
    await nodes.write(node.host, writes)
    for (const effect of effects) await effect()
  }

  /** §8.6: an owner's answer to a request for approval. */
  async answered(profile: HostProfile, asker: Address, stanza: Stanza): Promise<void> {
    const element = stanza.get(NS_DATA_FORMS, 'x')
    const form = element === undefined ? undefined : readForm(element)
    if (form === undefined) throw new StanzaError('service-unavailable')
    // The request stays.
    if (form.type === 'cancel') return
    const address = parseJid(firstValueOf(form, 'pubsub#subscriber_jid') ?? '')
    const isAllowed = booleanOf(form, 'pubsub#allow')
    const isAnswer = form.type === 'submit' && formTypeOf(form) === SUBSCRIBE_AUTHORIZATION
    if (!isAnswer || address === undefined || isAllowed === undefined) throw new StanzaError('bad-request')
    await this.#inTurn(profile, firstValueOf(form, 'pubsub#node'), async (node, contents) => {
      if (affiliationOf(profile, node.facts, asker.bare) !== 'owner') throw new StanzaError('forbidden')
      // Somebody else was first, or it was withdrawn (§12.13).
      if (contents.subscriptions.get(address.jid)?.state !== 'pending') throw new StanzaError('item-not-found')
      await this.change(profile, node, contents, [{ address, state: isAllowed ? 'subscribed' : 'none' }])
    })
  }

  /** Sends a subscriber that came online what was published last (`on_sub_and_presence`). */
  async cameOnline(profile: HostProfile, subscriber: Address): Promise<void> {
    if (this.#without.get(subscriber.bare) === true) return
    const { nodes } = this.#parts
    const changesBefore = this.#changes
    const subscribed = await nodes.list(profile.address.bare, subscribedOf(subscriber.bare))
    if (subscribed.length === 0 && this.#changes === changesBefore) this.#without.set(subscriber.bare, true)
    const host = await nodes.host(profile.address.bare)
    for (const { parts } of subscribed) {
      const [name = '', jid = ''] = parts
      const node = host.nodes.get(name)
      if (node?.facts.config.sendLast !== 'on_sub_and_presence' || (jid !== subscriber.jid && jid !== subscriber.bare)) continue
      const contents = await nodes.contents(node)
      const subscription = contents.subscriptionOf(subscriber, nodes.clock.nowMs())
      if (subscription?.state !== 'subscribed' || !subscription.options.deliver) continue
      const verdict = await this.#parts.access.mayRead(profile, node.facts, subscriber, () => true)
      // §12.2: to the one that came; the account's others had it.
      if (verdict === undefined) await this.#sendLast(profile, node, contents, subscriber)
    }
  }

  /** The service is not at home here any more. */
  leave(): void {
    this.#changes++
    this.#without = new BoundedCache(this.#parts.nodes.clock, WITHOUT_SUBSCRIPTIONS)
  }

  /** Ends all subscriptions of an account that is gone. */
  async forget(profile: HostProfile, account: BareJid): Promise<void> {
    const { nodes } = this.#parts
    for (const { parts } of await nodes.list(profile.address.bare, subscribedOf(account))) {
      const [name = '', jid = ''] = parts
      const address = parseJid(jid)
      if (address === undefined) continue
      await unlessItFails(this.#parts, () =>
        this.#inTurn(profile, name, (node, contents) => this.#end(profile, node, contents, address)),
      )
    }
  }

  /** Ends those of an account's subscriptions that it is not entitled to any more, and says so (XEP-0163 §7.1, XEP-0060 §12.14). */
  async endUnentitled(profile: HostProfile, account: BareJid): Promise<void> {
    const { nodes, access, notifier } = this.#parts
    for (const { parts } of await nodes.list(profile.address.bare, subscribedOf(account))) {
      const [name = '', jid = ''] = parts
      const address = parseJid(jid)
      if (address === undefined) continue
      await unlessItFails(this.#parts, () =>
        this.#inTurn(profile, name, async (node, contents) => {
          const refusal = await access.mayRead(profile, node.facts, address, () => true)
          if (refusal === undefined || !contents.subscriptions.has(address.jid)) return
          await this.#end(profile, node, contents, address)
          notifier.subscription(profile, node.facts, address, address, 'none')
        }),
      )
    }
  }

  #existing(contents: Contents, address: Address, type: 'cancel' | 'modify'): Subscription {
    const found = contents.subscriptions.get(address.jid)
    // §6.2.3.2, §6.3.4.2
    if (found === undefined || isOver(found, this.#parts.nodes.clock.nowMs()))
      throw refusal('unexpected-request', 'not-subscribed', type)
    return found
  }

  async #inTurn<T>(
    profile: HostProfile,
    name: string | undefined,
    task: (node: Node, contents: Contents) => T | Promise<T>,
  ): Promise<T> {
    const { nodes } = this.#parts
    if (name === undefined || name === '') throw refusal('bad-request', 'nodeid-required')
    return nodes.inTurn(profile.address.bare, name, async (host) => {
      const node = host.nodes.get(name)
      if (node === undefined) throw new StanzaError('item-not-found')
      return task(node, await nodes.contents(node))
    })
  }

  /** §8.6, §12.13: every owner is asked, and the first answer counts. */
  #askOwners(profile: HostProfile, facts: NodeFacts, address: Address): void {
    const form = authorizationForm(facts.name, address)
    const request = message({ from: profile.address, id: newId() }, formElement(form))
    for (const to of this.#owners(profile, facts)) this.#router.route(request.restamp({ to }))
  }

  #tellOwners(profile: HostProfile, facts: NodeFacts, address: Address, state: 'subscribed' | 'none'): void {
    if (!facts.config.notifySub) return
    for (const to of this.#owners(profile, facts)) this.#parts.notifier.subscription(profile, facts, to, address, state)
  }

  #owners(profile: HostProfile, facts: NodeFacts): readonly Address[] {
    return ownersOf(profile, facts).flatMap((owner) => parseJid(owner) ?? [])
  }
}

const authorizationForm = (node: string, address: Address): DataForm => ({
  type: 'form',
  title: 'Request to subscribe',
  instructions: `${address.jid} wants to be told what is published at ${node}.`,
  fields: [
    formTypeField(SUBSCRIBE_AUTHORIZATION),
    { var: 'pubsub#node', type: 'text-single', label: 'Node', values: [node] },
    { var: 'pubsub#subscriber_jid', type: 'jid-single', label: 'Who asks', values: [address.jid] },
    { var: 'pubsub#allow', type: 'boolean', label: 'Allow it?', values: ['false'] },
  ],
})

const subscriptionElement = (node: string, { address, state }: Subscription, child: Element): Element =>
  el(NS_PUBSUB, 'subscription', { node, jid: address.jid, subscription: state }, child)

const subscriberIn = (asked: Element | undefined): Address | undefined => parseJid(asked?.attrs.jid ?? '')

/** §6.3.4.3 */
const subscriberWithOptions = (asked: Element | undefined): Address => {
  if (asked?.attrs.jid === undefined) throw refusal('bad-request', 'jid-required')
  const address = subscriberIn(asked)
  if (address === undefined) throw refusal('bad-request', 'invalid-jid')
  return address
}

const readFormIn = (parent: Element | undefined): DataForm => {
  const element = parent?.getChild('x', NS_DATA_FORMS)
  const form = element === undefined ? undefined : readForm(element)
  if (form === undefined) throw refusal('bad-request', 'invalid-options')
  return form
}

/** §6.3.7: options follow what they are for, and name neither node nor subscriber again. */
const formAfterSubscribe = (request: Element): DataForm | undefined => {
  const options = request.getChild('options')
  if (options === undefined) return undefined
  const [first] = request.getChildren()
  if (first?.name !== 'subscribe' || options.attrs.node !== undefined || options.attrs.jid !== undefined)
    throw new StanzaError('bad-request')
  return readFormIn(options)
}
