import { newId } from '#server/base/random.ts'
import { integer } from '#server/base/schema.ts'
import { guard, observe, type Passage } from '#server/core/hooks.ts'
import { carryFlag, defineModule, type IqRequest, onGet, onSet } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, addressOf, type BareJid, parseJid } from '#stanzas/jid.ts'
import { iq, presence as makePresence } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { escapeAttribute } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'
import { type BlockList, BlockLists, type Change, EMPTY, isBlocked } from './blocking/block-lists.ts'
import { presence } from './presence.ts'
import { roster } from './roster.ts'
import { subscriptions } from './subscriptions.ts'

const NS_BLOCKING = 'urn:xmpp:blocking'
const NS_ERRORS = 'urn:xmpp:blocking:errors'

/** What modules may ask of block lists. */
export interface BlockingApi {
  /** Whether the account has blocked the address; without a promise while it is connected. */
  isBlocked(account: BareJid, address: Address): boolean | Promise<boolean>
}

/** Keeps whom an account blocks away from it, and it from them. */
export const blocking = defineModule({
  name: 'blocking',
  summary: 'Lets accounts block others: neither hears of the other any more.',
  xeps: { 'XEP-0191': '1.3' },
  features: { server: [NS_BLOCKING] },
  config: {
    maxItems: integer({ default: 1_000, min: 1, doc: 'How many addresses an account may block.' }),
  },
  stores: { blocked: documents<true>() },
  needs: { roster, subscriptions, presence },
  perSession: () => ({ hasFetched: false }),

  start({ config, stores, needs, sessions, router, domain, clock, stateOf, isHere }) {
    const lists = new BlockLists(stores.blocked, clock, (account) => sessions.of(account).length > 0)

    const push = (account: BareJid, payload: Element): void => {
      // XEP-0191 §3.3: every resource that has asked for the list, and no other.
      for (const session of sessions.of(account))
        if (stateOf(session).hasFetched)
          session.send(iq({ from: session.address.bareAddress, to: session.address, id: newId(), type: 'set' }, payload))
    }

    const block = async ({ payload, to: account }: IqRequest): Promise<undefined> => {
      const items = readItems(payload)
      // XEP-0191 §3.3
      if (items.length === 0) throw new StanzaError('bad-request')
      const contacts = await needs.roster.contactsWith(account, 'from')
      const add = (before: BlockList): BlockList => {
        const after = new Set([...before, ...items.map(({ jid }) => jid)])
        if (after.size > config.maxItems)
          throw new StanzaError('policy-violation', { text: `at most ${config.maxItems} addresses can be blocked` })
        return after
      }
      await lists.change(account, add, (change) => takeLeave(account, contacts, change))
      push(account, itemsElement('block', items))
      return undefined
    }

    const unblock = async ({ payload, to: account }: IqRequest): Promise<undefined> => {
      const items = readItems(payload)
      const contacts = await needs.roster.contactsWith(account, 'from')
      const remove = (before: BlockList): BlockList =>
        items.length === 0 ? EMPTY : new Set([...before].filter((jid) => !items.some((item) => item.jid === jid)))
      const { before, after } = await lists.change(account, remove, () => undefined)
      // XEP-0191 §3.4: contacts see the account again.
      for (const to of affected(contacts, before, after))
        if (isBlocked(before, to) && !isBlocked(after, to)) needs.subscriptions.tellAvailable(account, to)
      push(account, itemsElement('unblock', items))
      return undefined
    }

    /** XEP-0191 §3.3: whoever knows that the account is available hears that it is not, while it can still be said. */
    const takeLeave = (account: BareJid, contacts: readonly BareJid[], { before, after }: Change): void => {
      const isNew = (address: Address): boolean =>
        !isExempt(account, address) && isBlocked(after, address) && !isBlocked(before, address)
      const told = affected(contacts, after, before).filter(isNew)
      for (const to of told) needs.subscriptions.tellUnavailable(account, to)
      const hasHeard = new Set(told.map(({ jid }) => jid))
      for (const session of sessions.of(account))
        for (const to of needs.presence.toldBy(session))
          if (isNew(to) && !hasHeard.has(to.jid) && !hasHeard.has(to.bare))
            router.route(makePresence({ from: session.address, to, type: 'unavailable' }))
    }

    /** XEP-0191 §5: never the account's own resources; nor the server, without which the client could not even ask. */
    const isExempt = (account: BareJid, other: Address): boolean =>
      other.bare === account || (other.localpart === '' && other.domainpart === domain.domainpart)

    const guardOutgoing = ({ from, to }: Passage): undefined | Promise<undefined> => {
      if (isExempt(from.bare, to)) return undefined
      const list = lists.of(from.bare)
      return list instanceof Promise ? list.then((read) => refuseOutgoing(read, to)) : refuseOutgoing(list, to)
    }

    const guardIncoming = (passage: Passage): undefined | 'drop' | Promise<undefined | 'drop'> => {
      const { from, to } = passage
      if (isExempt(to.bare, from)) return undefined
      const list = lists.of(to.bare)
      return list instanceof Promise ? list.then((read) => refuseIncoming(read, passage)) : refuseIncoming(list, passage)
    }

    /** What the server says on an account's behalf, such as its presence to its contacts, does not reach whom it has blocked either. */
    const guardPresence = (passage: Passage): undefined | 'drop' | Promise<undefined | 'drop'> => {
      const { from, to } = passage
      if (!router.isLocal(from) || from.localpart === '' || !isHere(from.bare) || isExempt(from.bare, to))
        return guardIncoming(passage)
      const list = lists.of(from.bare)
      if (list instanceof Promise) return list.then((read) => (isBlocked(read, to) ? 'drop' : guardIncoming(passage)))
      return isBlocked(list, to) ? 'drop' : guardIncoming(passage)
    }

    /** The same, where the rest happens at the home of the other one. */
    const guardLeaving = ({ from, to }: Passage): undefined | 'drop' | Promise<undefined | 'drop'> => {
      if (!router.isLocal(from) || from.localpart === '' || isExempt(from.bare, to)) return undefined
      const list = lists.of(from.bare)
      if (list instanceof Promise) return list.then((read) => (isBlocked(read, to) ? 'drop' : undefined))
      return isBlocked(list, to) ? 'drop' : undefined
    }

    const guardStored = ({ stanza, session }: Passage): undefined | 'drop' => {
      const from = stanza.from
      if (stanza.type !== 'subscribe' || session === undefined || from === undefined || isExempt(session.account, from))
        return undefined
      return isBlocked(lists.ofConnected(session.account), from) ? 'drop' : undefined
    }

    const api: BlockingApi = {
      isBlocked(account, address) {
        if (isExempt(account, address)) return false
        const list = lists.of(account)
        return list instanceof Promise ? list.then((read) => isBlocked(read, address)) : isBlocked(list, address)
      },
    }

    return {
      api,
      carries: carryFlag(
        (session) => stateOf(session).hasFetched,
        (session) => {
          stateOf(session).hasFetched = true
        },
      ),
      iq: [
        onGet(NS_BLOCKING, 'blocklist', 'own', async ({ to: account, session }) => {
          if (session !== undefined) stateOf(session).hasFetched = true
          const jids = [...(await lists.of(account))].sort()
          return el(NS_BLOCKING, 'blocklist', {}, ...jids.map((jid) => el(NS_BLOCKING, 'item', { jid })))
        }),
        onSet(NS_BLOCKING, 'block', 'own', block),
        onSet(NS_BLOCKING, 'unblock', 'own', unblock),
      ],
      hooks: [
        guard('sent', guardOutgoing),
        guard('inbound', guardIncoming, { kind: 'message' }),
        guard('inbound', guardIncoming, { kind: 'iq' }),
        guard('inbound', guardPresence, { kind: 'presence' }),
        guard('leaving', guardLeaving, { kind: 'presence' }),
        // Requests to be subscribed are delivered again at each login (RFC 6121 §3.1.3); they may have come before the block.
        guard('outbound', guardStored, { kind: 'presence' }),
        observe('session-started', ({ session }) => lists.connected(session.account)),
        observe('session-ended', ({ session }) => lists.disconnected(session.account)),
        observe('account-deleted', ({ account }) => lists.forget(account)),
        observe('account-left', ({ account }) => lists.leave(account)),
      ],
    }
  },
})

const readItems = (payload: Element): readonly Address[] =>
  payload.getChildren('item').map(({ attrs }) => {
    if (attrs.jid === undefined) throw new StanzaError('bad-request')
    const address = parseJid(attrs.jid)
    if (address === undefined) throw new StanzaError('jid-malformed')
    return address
  })

const itemsElement = (name: 'block' | 'unblock', items: readonly Address[]): Element =>
  el(NS_BLOCKING, name, {}, ...items.map(({ jid }) => el(NS_BLOCKING, 'item', { jid })))

/** The contacts, and those of their resources that are named in one list and not in the other. */
const affected = (contacts: readonly BareJid[], having: BlockList, lacking: BlockList): readonly Address[] => {
  const resources = [...having].filter((jid) => jid.includes('/') && !lacking.has(jid))
  return [...contacts, ...resources]
    .flatMap((jid) => addressOf(escapeAttribute(jid)) ?? [])
    .filter(({ resourcepart, bare }) => resourcepart === '' || contacts.includes(bare))
}

/** XEP-0191 §3.3: the account does not speak with whom it has blocked. */
const refuseOutgoing = (list: BlockList, to: Address): undefined => {
  if (isBlocked(list, to)) throw new StanzaError('not-acceptable', { type: 'cancel', extra: el(NS_ERRORS, 'blocked') })
}

/** XEP-0191 §3.3: to whom it has blocked, the account looks as if it were offline. */
const refuseIncoming = (list: BlockList, { stanza, from }: Passage): undefined | 'drop' => {
  if (!isBlocked(list, from)) return undefined
  const { kind, type } = stanza
  if (kind === 'presence') return 'drop'
  if (kind === 'iq' && type !== 'get' && type !== 'set') return 'drop'
  // A room would throw the account out if it answered by an error, and nobody is told that a headline found nobody (RFC 6121 §8.5.2.2.1).
  if (kind === 'message' && (type === 'groupchat' || type === 'headline' || type === 'error')) return 'drop'
  throw new StanzaError('service-unavailable')
}
