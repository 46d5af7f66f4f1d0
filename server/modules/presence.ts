import { guard, observe, type Passage } from '#server/core/hooks.ts'
import { defineModule, onPresence, type PresenceType } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { type Address, addressOf, type BareJid, parseJid } from '#stanzas/jid.ts'
import { NS_CLIENT } from '#stanzas/namespaces.ts'
import { presence as makePresence, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { escapeAttribute } from '#stanzas/wire.ts'
import { hasFrom, hasTo, type Roster, roster } from './roster.ts'
import { subscriptions } from './subscriptions.ts'

const NOTIFICATIONS: readonly PresenceType[] = ['available', 'unavailable']

/** Addresses a session may have sent directed presence to; more than anyone has rooms and conversations with strangers. */
const MAX_DIRECTED = 5_000

/** One presence becomes thousands of copies, all in one turn; what clients tell by it is a tenth of this. */
const MAX_PRESENCE_BYTES = 16_384

/** What a session's presence needs to remember; nothing for most. */
interface Directed {
  /** Whom the client told by name that it is available (RFC 6121 §4.6.3). */
  told: Map<string, Address> | undefined
  /** Accounts that answered with an error, until they send something else (§4.4.2). */
  refusing: Set<BareJid> | undefined
}

/** What modules may ask of presence. */
export interface PresenceApi {
  /** Whom the session told by name that it is available (RFC 6121 §4.6.3). */
  toldBy(session: Session): Iterable<Address>
}

/** Tells those who may know which resources of an account are available. */
export const presence = defineModule({
  name: 'presence',
  summary: 'Tells contacts and the account’s own devices who is available, and asks for theirs.',
  needs: { roster, subscriptions },
  perSession: (): Directed => ({ told: undefined, refusing: undefined }),

  start({ needs, sessions, router, delivery, stateOf, emit, isHere, tellHome }) {
    /** RFC 6121 §4.2.2, §4.4.2, §4.5.2: one copy for each subscriber, and one for all of the account's available resources. */
    const broadcast = (session: Session, stanza: Stanza, { contacts }: Roster): void => {
      const { refusing } = stateOf(session)
      for (const [jid, { item }] of contacts) {
        if (item === undefined || !hasFrom(item.subscription) || refusing?.has(jid)) continue
        const to = reachable(jid)
        if (to !== undefined) router.route(stanza.restamp({ to }))
      }
      const own = stanza.restamp({ to: session.address.bareAddress })
      for (const other of sessions.of(session.account)) if (other.isAvailable || other === session) other.send(own)
    }

    /** The address of a contact; nothing when it is an account that is at home here and not connected, since nobody would be told. */
    const reachable = (jid: BareJid): Address | undefined => {
      const connected = sessions.of(jid)[0]
      if (connected !== undefined) return connected.address.bareAddress
      const address = addressOf(escapeAttribute(jid))
      return address === undefined || (isHere(jid) && router.isLocal(address)) ? undefined : address
    }

    const begin = (session: Session, stanza: Stanza, all: Roster): void | Promise<void> => {
      if (session.hasEnded) return undefined
      const isInitial = !session.isAvailable
      const wasWilling = session.isWilling
      session.priority = priorityOf(stanza)
      session.presence = stanza.detach()
      // RFC 6121 §8.5.2.1.1: from here on messages may come; they do not overtake those that waited for one who takes them.
      if (session.isWilling && !wasWilling) delivery.hold(session)
      broadcast(session, session.presence, all)
      if (!isInitial) {
        delivery.proceed(session)
        return undefined
      }
      tellOwn(session)
      const waiting = probe(session, all)
      if (waiting.length === 0) return arrived(session)
      return Promise.all(waiting).then(() => arrived(session))
    }

    const arrived = (session: Session): void => {
      emit('session-available', { session })
      delivery.proceed(session)
    }

    /** RFC 6121 §4.2.2: the account's other resources were there first. */
    const tellOwn = (session: Session): void => {
      for (const other of sessions.of(session.account))
        if (other !== session && other.presence !== undefined)
          session.send(other.presence.restamp({ to: session.address.bareAddress }))
    }

    /** §4.3.1: asks for the presence of contacts; those that are at home here answer at once. */
    const probe = (session: Session, { contacts }: Roster): readonly Promise<void>[] => {
      const waiting: Promise<void>[] = []
      const from = session.address.bareAddress
      for (const [jid, { item }] of contacts) {
        const to = item !== undefined && hasTo(item.subscription) ? reachable(jid) : undefined
        if (to === undefined) continue
        if (!router.isLocal(to)) router.route(makePresence({ from, to, type: 'probe' }))
        else if (!isHere(jid)) tellHome(jid, 'presence.came', session.jid)
        else {
          const answered = answerComer(to, session.address)
          if (answered !== undefined) waiting.push(answered)
        }
      }
      return waiting
    }

    /** §4.3.2: the answer goes to the one that has just come. Of contacts that are not available it hears nothing, which is what it assumes of them. */
    const answerComer = (contact: Address, comer: Address): undefined | Promise<void> =>
      sessions.of(contact.bare).some((session) => session.isAvailable)
        ? answerProbe(comer.bareAddress, contact, comer)
        : undefined

    /** `answerTo` gets what the prober may know; that it is not subscribed concerns its account. */
    const answerProbe = (from: Address, to: Address, answerTo: Address): undefined | Promise<void> => {
      const answer = (isEntitled: boolean): undefined => {
        if (isEntitled) tellOne(to, answerTo)
        else if (!toldByName(to, from, answerTo))
          router.route(makePresence({ from: to.bareAddress, to: from.bareAddress, type: 'unsubscribed' }))
      }
      const isEntitled = needs.roster.maySeePresence(from.jid, to.bare)
      return isEntitled instanceof Promise ? isEntitled.then(answer) : answer(isEntitled)
    }

    /** RFC 6121 §4.3.2: to a bare JID, the presence of every available resource; to a full JID, of that one. */
    const tellOne = (account: Address, to: Address): void => {
      if (account.resourcepart !== '') {
        const last = sessions.get(account)?.presence
        router.route(last?.restamp({ to }) ?? makePresence({ from: account, to, type: 'unavailable' }))
      } else if (needs.subscriptions.tellAvailable(account.bare, to) === 0)
        router.route(makePresence({ from: account, to, type: 'unavailable' }))
    }

    /** §4.6.5: whoever was told by name may ask whether that still holds, and hears no more than that. */
    const toldByName = (account: Address, asking: Address, answerTo: Address): boolean => {
      const session = account.resourcepart === '' ? undefined : sessions.get(account)
      const told = session === undefined ? undefined : stateOf(session).told
      if (told === undefined || ![...told.values()].some(({ bare }) => bare === asking.bare)) return false
      router.route(makePresence({ from: account, to: answerTo }))
      return true
    }

    /** The resource is unavailable now: everybody who was told that it is available hears of it. */
    const end = (session: Session, stanza: Stanza): void | Promise<void> => {
      const all = needs.roster.of(session.account)
      return all instanceof Promise ? all.then((loaded) => endWith(session, stanza, loaded)) : endWith(session, stanza, all)
    }
    const endWith = (session: Session, stanza: Stanza, all: Roster): void => {
      const directed = stateOf(session)
      const { told } = directed
      const wasAvailable = session.isAvailable
      session.presence = undefined
      session.priority = 0
      directed.told = undefined
      if (wasAvailable) broadcast(session, stanza, all)
      // §4.6.3: those who were told by name, unless the broadcast has reached them.
      for (const to of told?.values() ?? []) {
        const item = all.contacts.get(to.bare)?.item
        const hasHeard = wasAvailable && item !== undefined && hasFrom(item.subscription)
        if (!hasHeard) router.route(stanza.restamp({ to }))
      }
      directed.refusing = undefined
      if (wasAvailable) emit('session-unavailable', { session, status: stanza.text(NS_CLIENT, 'status') ?? '' })
    }

    const direct = ({ stanza, to, session }: Passage): void => {
      if (!router.isServed(to)) throw new StanzaError('remote-server-not-found')
      if (session !== undefined) remember(stateOf(session), stanza, to)
      router.route(stanza)
    }
    const remember = (directed: Directed, stanza: Stanza, to: Address): void => {
      if (stanza.type === 'unavailable') directed.told?.delete(to.jid)
      else {
        directed.told ??= new Map()
        if (directed.told.size >= MAX_DIRECTED && !directed.told.has(to.jid)) throw new StanzaError('resource-constraint')
        directed.told.set(to.jid, to)
      }
    }

    /** RFC 6121 §8.5.2.1.2, §8.5.3: to a bare JID, every available resource; to a full JID, that one or nobody. */
    const deliver = ({ stanza, from, to }: Passage): void => {
      if (to.resourcepart !== '') {
        const session = sessions.get(to)
        if (session === undefined) return
        note(session, from, stanza)
        session.send(stanza)
        return
      }
      for (const session of sessions.of(to.bare)) {
        note(session, from, stanza)
        if (session.isAvailable && stanza.type !== 'error') session.send(stanza)
      }
    }
    /** §4.4.2: whoever answers presence with an error gets no more of it in this session until something else comes. */
    const note = (session: Session, from: Address, stanza: Stanza): void => {
      const directed = stateOf(session)
      if (stanza.type === 'error') {
        directed.refusing ??= new Set()
        if (directed.refusing.size < MAX_DIRECTED) directed.refusing.add(from.bare)
      } else directed.refusing?.delete(from.bare)
    }

    /** What comes while the roster changes waits for that: it may be what the change leads to (§2.1.6). */
    const inOrder = (passage: Passage): void | Promise<void> =>
      needs.roster.isBusy(passage.to.bare) ? needs.roster.inOrder(passage.to.bare, () => deliver(passage)) : deliver(passage)

    const api: PresenceApi = { toldBy: (session) => stateOf(session).told?.values() ?? [] }

    return {
      api,
      carries: {
        save(session) {
          const { told } = stateOf(session)
          return told === undefined ? undefined : [...told.keys()].join('\n')
        },
        restore(session, saved) {
          const told = saved.split('\n').flatMap((jid) => parseJid(jid) ?? [])
          stateOf(session).told = new Map(told.map((address) => [address.jid, address]))
        },
      },
      presence: [
        onPresence('broadcast', ['available'], ({ stanza, session }) => {
          if (session === undefined) return undefined
          const all = needs.roster.of(session.account)
          return all instanceof Promise ? all.then((loaded) => begin(session, stanza, loaded)) : begin(session, stanza, all)
        }),
        onPresence('broadcast', ['unavailable'], ({ stanza, session }) =>
          session === undefined ? undefined : end(session, stanza),
        ),
        onPresence('broadcast', ['probe', 'error'], () => {
          throw new StanzaError('bad-request')
        }),
        onPresence('directed', NOTIFICATIONS, direct),
        onPresence('directed', ['probe', 'error'], ({ stanza, to }) => {
          if (!router.isServed(to)) throw new StanzaError('remote-server-not-found')
          router.route(stanza)
        }),
        onPresence('inbound', [...NOTIFICATIONS, 'error'], inOrder),
        onPresence('inbound', ['probe'], ({ from, to }) => answerProbe(from, to, from)),
      ],
      hooks: [
        guard(
          'sent',
          ({ stanza }) => {
            if (stanza.size > MAX_PRESENCE_BYTES)
              throw new StanzaError('policy-violation', { text: `presence may have ${MAX_PRESENCE_BYTES} bytes` })
            return undefined
          },
          { kind: 'presence' },
        ),
        observe('session-ended', ({ session }) => {
          // Of a session that nobody was told of nobody need hear.
          if (!session.isAvailable && stateOf(session).told === undefined) return undefined
          return end(session, makePresence({ from: session.address, type: 'unavailable' }))
        }),
      ],
      calls: [
        {
          name: 'came',
          async handle(account, comer): Promise<undefined> {
            const [own, other] = [parseJid(account), parseJid(comer)]
            if (own !== undefined && other !== undefined) await answerComer(own, other)
          },
        },
      ],
    }
  },
})

/** RFC 6121 §4.7.2.3: an integer from -128 to 127, and 0 when there is none. */
const priorityOf = (stanza: Stanza): number => {
  const text = stanza.text(NS_CLIENT, 'priority')?.trim()
  if (text === undefined) return 0
  const priority = /^[+-]?\d{1,3}$/.test(text) ? Number(text) : Number.NaN
  if (!(priority >= -128 && priority <= 127)) throw new StanzaError('bad-request')
  return priority
}
