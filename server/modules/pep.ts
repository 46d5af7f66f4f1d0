import { bytes, integer } from '#server/base/schema.ts'
import { guard, observe, type Passage } from '#server/core/hooks.ts'
import { defineModule, type IqRequest, onGet, onSet } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { formTypeOf, readForm } from '#stanzas/data-form.ts'
import type { Element } from '#stanzas/element.ts'
import { type Address, addressOf, parseJid } from '#stanzas/jid.ts'
import { NS_DATA_FORMS, NS_PUBSUB, NS_PUBSUB_OWNER } from '#stanzas/namespaces.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { escapeAttribute } from '#stanzas/wire.ts'
import { blocking } from './blocking.ts'
import { clientCaps, type FeatureSet } from './client-caps.ts'
import { disco } from './disco.ts'
import { Audience } from './pep/audience.ts'
import { Guests, Visits } from './pep/guests.ts'
import { LastItems, wantedNodes } from './pep/last-items.ts'
import { Offers } from './pep/offers.ts'
import { AccountProfile, rulesWith } from './pep/profile.ts'
import { ENGINE_FEATURES, featuresOf, type HostProfile, type NodeConfig, pubsub } from './pubsub.ts'
import { roster } from './roster.ts'

const SUBSCRIBE_AUTHORIZATION = `${NS_PUBSUB}#subscribe_authorization`
const IDENTITY = { category: 'pubsub', type: 'pep' }

/** XEP-0163 §5, §6.1, and what else of XEP-0060 accounts can do. */
const FEATURES = [
  ...ENGINE_FEATURES,
  ...featuresOf(['auto-create', 'auto-subscribe', 'filtered-notifications', 'presence-subscribe', 'pubsub-on-a-jid']),
]

/** What modules may do with the nodes of accounts, by the engine of `pubsub`. */
export interface PepApi {
  /** The account as the owner of its nodes. */
  profileOf(account: Address): HostProfile
  /** How nodes of this name begin at every account, where that is not as usual. */
  setDefaults(node: string, config: Partial<NodeConfig>): void
}

/** What a session has been served. */
interface Served {
  /** It is available, and everybody knows. */
  isThere: boolean
  /** What its client could do when it was last sent items. */
  features: FeatureSet | undefined
  /** Items are being sent; of what is wanted besides meanwhile, those come behind. */
  isBusy: boolean
}

/** Lets accounts publish what happens to them, and tells those who share presence with them and want to know. */
export const pep = defineModule({
  name: 'pep',
  summary: 'Makes every account a place to publish to: moods, avatars, keys, bookmarks.',
  xeps: { 'XEP-0163': '1.2.2', 'XEP-0222': '1.0.1', 'XEP-0223': '1.1.1' },
  // COMPAT(Profanity 0.13, Smack 4.5): they look at the domain, as XEP-0163 had it before 1.2: for publish-options, for `pubsub` itself and access-whitelist.
  features: { account: FEATURES, server: FEATURES },
  identities: { account: [IDENTITY], server: [IDENTITY] },
  config: {
    maxNodes: integer({ default: 200, min: 1, doc: 'How many nodes an account may have.' }),
    maxItems: integer({ default: 1_000, min: 1, doc: 'How many items a node may keep; what `max` means to clients.' }),
    maxPayload: bytes('192 KiB', { min: '1 KiB', doc: 'How large an item may be. Pictures of people are the largest.' }),
  },
  needs: { roster, disco, blocking, clientCaps, pubsub },
  perSession: (): Served => ({ isThere: false, features: undefined, isBusy: false }),

  start({ config, needs, sessions, router, stateOf, log, isHere, callHome, tellHome }) {
    const isElsewhere = (address: Address): boolean =>
      !isHere(address.bare) && router.isLocal(address) && address.localpart !== ''
    const guests = new Guests()
    const visits = new Visits()
    const audience = new Audience({ sessions, guests, isHere, isElsewhere, ...needs })
    const offers = new Offers({
      sessions,
      router,
      ...needs,
      tell: (account, offer) => tellHome(account, 'pep.offered', offer),
    })
    const limits = { nodes: config.maxNodes, itemsPerNode: config.maxItems, payloadBytes: config.maxPayload }
    const rules = rulesWith({
      limits,
      implicitSubscribers: (node) => audience.of(node),
      offer: (node, event, made) => offers.send(node, event, made),
      hasBlocked: (account, address) => needs.blocking.isBlocked(account, address),
    })
    const profileOf = (account: Address): HostProfile => new AccountProfile(account.bareAddress, rules)
    const notServed = (error: unknown): void => log.warn('subscribers-not-served', { error })
    const lastItems = new LastItems({
      ...needs,
      profileOf,
      isElsewhere,
      ask: (account, comer) => callHome(account, 'pep.came', comer, 'reading'),
      onFailure: notServed,
    })

    const handle = (request: IqRequest): Promise<Element | undefined> => {
      const { stanza, session } = request
      const node = session === undefined ? undefined : publishedTo(stanza, session)
      // They take their turns at the node, and what waits there is written together.
      if (node !== undefined) session?.letFollow((next) => publishedTo(next, session) === node)
      return needs.pubsub.handle(profileOf(request.toAddress), request)
    }

    needs.disco.addAccountNodes({
      info: (account, node, asker) => needs.pubsub.nodeInfo(profileOf(account), node, asker),
      items: (account, node, asker) => needs.pubsub.discoItems(profileOf(account), node, asker),
    })

    /** XEP-0163 §4.3.3: once for each resource that becomes available, and (XEP-0115 §6.1) for what its client wants besides since then. */
    const serve = (session: Session): void => {
      const served = stateOf(session)
      const features = needs.clientCaps.featuresOf(session)
      if (!served.isThere || served.isBusy || features === undefined || features === served.features) return
      const before = wantedNodes(served.features)
      const wanted = [...wantedNodes(features)].filter((node) => !before.has(node))
      served.features = features
      if (wanted.length === 0) return
      // A whole roster is looked through, so a client that says something else again and again waits for that.
      served.isBusy = true
      const sent = lastItems.ofAll(session, new Set(wanted)).finally(() => {
        served.isBusy = false
        serve(session)
      })
      unlessItFails(sent)
    }
    const unlessItFails = (done: Promise<void>): void => {
      done.catch(notServed)
    }

    const leave = (session: Session): void => {
      const served = stateOf(session)
      served.isThere = false
      served.features = undefined
      endVisits(session)
    }
    const endVisits = (session: Session): void => {
      for (const host of visits.endAll(session)) tellHome(host, 'pep.visit-ended', session.jid)
    }

    /** XEP-0163 §4.3.4: the newest of one account, for those who may know from now on. */
    const introduce = (owner: Address, session: Session): void => {
      const wanted = wantedNodes(needs.clientCaps.featuresOf(session))
      if (session.isAvailable && wanted.size > 0) unlessItFails(lastItems.of(owner.bareAddress, session, wanted))
    }

    const directed = ({ stanza, session, to }: Passage): void => {
      if (session === undefined || stanza.to === undefined || !router.isLocal(to) || to.bare === session.account) return
      if (stanza.type === 'unavailable') {
        if (visits.end(session, to.bare)) tellHome(to.bare, 'pep.visit-ended', session.jid)
      } else if (stanza.type === undefined && visits.begin(session, to.bare)) {
        tellHome(to.bare, 'pep.visited', session.jid)
        introduce(to, session)
      }
    }

    const granted = ({ stanza, from, to }: Passage): void | Promise<void> => {
      if (stanza.type !== 'subscribed') return undefined
      // Behind what tells the devices that they may.
      return needs.roster.inOrder(to.bare, () => {
        for (const session of sessions.of(to.bare)) introduce(from, session)
      })
    }

    /** XEP-0060 §8.6: requests to subscribe come from the account itself, so that is where they are answered. */
    const answer = ({ stanza, from, to }: Passage): undefined | Promise<'drop'> => {
      if (to.resourcepart !== '' || from.bare !== to.bare || !isAnswer(stanza)) return undefined
      return needs.pubsub.answered(profileOf(to), from, stanza).then(() => 'drop')
    }

    needs.clientCaps.onKnown(serve)
    // §7.1
    needs.roster.onChanged((account, contact) => {
      const owner = addressOf(escapeAttribute(account))
      if (owner !== undefined) unlessItFails(needs.pubsub.endUnentitled(profileOf(owner), contact))
    })
    const api: PepApi = {
      profileOf,
      setDefaults(node, wanted) {
        rules.defaultsOf.set(node, { ...rules.defaults, ...wanted })
      },
    }

    return {
      api,
      // Its hosts still know of it, and are told when it leaves.
      carries: {
        save: (session) => visits.of(session)?.join('\n'),
        restore(session, saved) {
          for (const host of saved.split('\n').flatMap((jid) => parseJid(jid) ?? [])) visits.begin(session, host.bare)
        },
      },
      iq: [
        onGet(NS_PUBSUB, 'pubsub', 'account', handle),
        onSet(NS_PUBSUB, 'pubsub', 'account', handle),
        onGet(NS_PUBSUB_OWNER, 'pubsub', 'account', handle),
        onSet(NS_PUBSUB_OWNER, 'pubsub', 'account', handle),
      ],
      hooks: [
        observe('session-available', ({ session }) => {
          stateOf(session).isThere = true
          serve(session)
        }),
        observe('session-unavailable', ({ session }) => leave(session)),
        observe('session-ended', ({ session }) => endVisits(session)),
        observe('account-left', ({ account }) => guests.forget(account)),
        observe('sent', directed, { kind: 'presence' }),
        observe('inbound', granted, { kind: 'presence' }),
        guard('inbound', answer, { kind: 'message', namespace: NS_DATA_FORMS }),
      ],
      calls: [
        {
          name: 'visited',
          handle(account, guest): undefined {
            const address = parseJid(guest)
            if (address !== undefined) guests.add(account, address)
          },
        },
        { name: 'visit-ended', handle: (account, guest) => void guests.remove(account, guest) },
        { name: 'came', handle: (account, comer) => lastItems.asked(account, comer).then(() => undefined) },
        { name: 'offered', handle: (account, offer) => void offers.take(account, offer) },
      ],
    }
  },
})

/** The node of the own account to which a client publishes one item, in a request that can only be refused in its turn. */
const publishedTo = (stanza: Stanza, { account }: Session): string | undefined => {
  const { to, payloads } = stanza
  if (stanza.kind !== 'iq' || stanza.type !== 'set' || stanza.id === undefined || stanza.hasMalformedAddress) return undefined
  if (payloads.length !== 1 || (to !== undefined && to.jid !== account)) return undefined
  const [publish, ...others] = stanza.get(NS_PUBSUB, 'pubsub')?.getChildren() ?? []
  if (publish?.name !== 'publish' || publish.ns !== NS_PUBSUB || others.length > 0) return undefined
  const [item, ...more] = publish.getChildren()
  if (item?.name !== 'item' || more.length > 0 || item.getChildren().length > 1) return undefined
  return publish.attrs.node === '' ? undefined : publish.attrs.node
}

const isAnswer = (stanza: Stanza): boolean => {
  const element = stanza.get(NS_DATA_FORMS, 'x')
  const form = element === undefined ? undefined : readForm(element)
  return form !== undefined && form.type !== 'form' && formTypeOf(form) === SUBSCRIBE_AUTHORIZATION
}
