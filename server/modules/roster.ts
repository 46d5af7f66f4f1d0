import { newId } from '#server/base/random.ts'
import { integer } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { carryFlag, defineModule, type IqRequest, onGet, onSet } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type BareJid, bareOf, type Jid } from '#stanzas/jid.ts'
import { NS_ROSTER } from '#stanzas/namespaces.ts'
import { iq } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { documents } from '#storage/shapes.ts'
import { type Contact, hasFrom, hasTo, itemElement, type RosterItem } from './roster/contact.ts'
import { readRosterSet } from './roster/roster-set.ts'
import { type Decide, type Roster, Rosters } from './roster/rosters.ts'

export { type Contact, hasFrom, hasTo, type RosterItem, subscriptionOf } from './roster/contact.ts'
export type { Decision, Roster } from './roster/rosters.ts'

const VERSIONING = el('urn:xmpp:features:rosterver', 'ver')

/** With more changes than this the whole roster is shorter, and every push is answered by the client. */
const MAX_INTERIM_PUSHES = 100

type Changed = (account: BareJid, jid: BareJid) => void
type Removed = (account: BareJid, jid: BareJid, contact: Contact) => void

/** What modules may ask of rosters. For accounts that are online the answers come without a promise, once anyone has asked. */
export interface RosterApi {
  /** Everything kept of the account's contacts. */
  of(account: BareJid): Roster | Promise<Roster>
  /** The item of a contact, when it is in the roster. */
  get(account: BareJid, contact: BareJid): RosterItem | undefined | Promise<RosterItem | undefined>
  /** Whether the address is subscribed to the account's presence, or is one of its own. */
  maySeePresence(from: Jid, account: BareJid): boolean | Promise<boolean>
  /** The contacts that get the account's presence (`from`), or whose presence it gets (`to`). */
  contactsWith(account: BareJid, half: 'from' | 'to'): readonly BareJid[] | Promise<readonly BareJid[]>
  /** Whether the contact is in the roster, whatever the subscription. */
  isKnown(account: BareJid, contact: BareJid): boolean | Promise<boolean>
  /** Changes what is kept of one contact, after all earlier changes of the account; pushes what devices can see of it. */
  change(account: BareJid, contact: BareJid, decide: Decide): Promise<void>
  /** Whether changes are under way, behind which deliveries to this account must wait. */
  isBusy(account: BareJid): boolean
  /** Runs a task after all changes of the account that have begun. */
  inOrder<T>(account: BareJid, task: () => T | Promise<T>): Promise<T>
  /** Whether the session asked for the roster, and so gets pushes (RFC 6121 §2.2). */
  isInterested(session: Session): boolean
  /** Calls back when what devices see of a contact has changed; what was decided is durable, and the devices have been told. */
  onChanged(listener: Changed): void
  /** Calls back when a contact was removed by a device, or with its account. */
  onRemoved(listener: Removed): void
}

const then = <T, R>(value: T | Promise<T>, next: (value: T) => R): R | Promise<R> =>
  value instanceof Promise ? value.then(next) : next(value)

/** Keeps every account's roster and tells its devices of changes. */
export const roster = defineModule({
  name: 'roster',
  summary: 'Keeps the contact list of every account and tells all its devices of changes.',
  xeps: { 'XEP-0237': '1.3' },
  features: { server: [NS_ROSTER] },
  config: {
    maxItems: integer({ default: 5_000, min: 1, doc: 'How many contacts an account may have in its roster.' }),
    maxText: integer({
      default: 1_000_000,
      min: 1_000,
      doc: 'How many characters the addresses, names and groups of a roster may have together. It is in memory while its account is online.',
    }),
  },
  stores: { contacts: documents<Contact>() },
  perSession: () => ({ isInterested: false }),

  start({ config, stores, stateOf, sessions, accounts, clock, log }) {
    const changed: Changed[] = []
    const removed: Removed[] = []
    const push = (session: Session, jid: BareJid, contact: Contact): void => {
      // RFC 6121 §2.1.6: without a `from` it comes from the account itself.
      const query = el(NS_ROSTER, 'query', { ver: String(contact.version) }, itemElement(jid, contact))
      session.send(iq({ to: session.address, id: newId(), type: 'set' }, query))
    }
    const rosters = new Rosters({
      store: stores.contacts,
      clock,
      maxItems: config.maxItems,
      maxText: config.maxText,
      isOnline: (account) => sessions.of(account).length > 0,
      exists: (account) => accounts.exists(account),
      push(account, jid, contact) {
        // §2.1.6: every session that asked for the roster, available or not, and no other.
        for (const session of sessions.of(account)) if (stateOf(session).isInterested) push(session, jid, contact)
        for (const listener of changed) listener(account, jid)
      },
    })

    const pushSince = (session: Session, version: number): void => {
      const now = rosters.of(session.account)
      if (now instanceof Promise) return
      const changed = [...now.contacts].filter(([, contact]) => contact.version > version)
      for (const [jid, contact] of changed.sort((a, b) => a[1].version - b[1].version)) push(session, jid, contact)
    }

    const answerGet = ({ payload, session }: IqRequest, now: Roster): Element | undefined => {
      if (session !== undefined) stateOf(session).isInterested = true
      const known = knownVersion(payload.attrs.ver, now)
      if (known === undefined || session === undefined) return wholeRoster(now)
      // RFC 6121 §2.6.3: an empty result first, then each change as a push.
      if (known < now.version) session.whenHandled(() => pushSince(session, known))
      return undefined
    }

    const remove = (account: BareJid, jid: BareJid): Promise<void> =>
      rosters.change(account, jid, (now) => {
        // RFC 6121 §2.5.3
        if (now.item === undefined) throw new StanzaError('item-not-found')
        return { next: { version: now.version }, afterPush: () => tellRemoved(account, jid, now) }
      })
    const tellRemoved: Removed = (account, jid, contact) => {
      for (const listener of removed) listener(account, jid, contact)
    }

    const set = ({ payload, to: account }: IqRequest): Promise<undefined> => {
      const { jid, isRemoval, name, groups } = readRosterSet(payload)
      // RFC 6121 §2.3.3: an account needs no entry for itself.
      if (jid === account) throw new StanzaError('not-allowed')
      const change = isRemoval
        ? remove(account, jid)
        : rosters.change(account, jid, (now) => {
            const { subscription = 'none', ask, approved } = now.item ?? {}
            const item: RosterItem = {
              ...(name === undefined ? {} : { name }),
              ...(groups.length === 0 ? {} : { groups }),
              subscription,
              ...(ask === undefined ? {} : { ask }),
              ...(approved === undefined ? {} : { approved }),
            }
            return { next: { ...now, item } }
          })
      return change.then(() => undefined)
    }

    const api: RosterApi = {
      of: (account) => rosters.of(account),
      get: (account, contact) => then(rosters.contact(account, contact), (kept) => kept?.item),
      maySeePresence(from, account) {
        const asking = bareOf(from)
        return asking === account || then(rosters.contact(account, asking), seesPresence)
      },
      contactsWith: (account, half) =>
        then(rosters.of(account), ({ contacts }) => {
          const has = half === 'from' ? hasFrom : hasTo
          return [...contacts].filter(([, { item }]) => item !== undefined && has(item.subscription)).map(([jid]) => jid)
        }),
      isKnown: (account, contact) => then(rosters.contact(account, contact), (kept) => kept?.item !== undefined),
      change: (account, contact, decide) => rosters.change(account, contact, decide),
      isBusy: (account) => rosters.isBusy(account),
      inOrder: (account, task) => rosters.inOrder(account, task),
      isInterested: (session) => stateOf(session).isInterested,
      onChanged: (listener) => changed.push(listener),
      onRemoved: (listener) => removed.push(listener),
    }

    return {
      api,
      carries: carryFlag(
        (session) => stateOf(session).isInterested,
        (session) => {
          stateOf(session).isInterested = true
        },
      ),
      streamFeatures: [{ when: 'after-login', offer: () => VERSIONING }],
      iq: [
        onGet(NS_ROSTER, 'query', 'own', (request) => then(rosters.of(request.to), (now) => answerGet(request, now))),
        onSet(NS_ROSTER, 'query', 'own', set),
      ],
      hooks: [
        observe('session-started', ({ session }) => {
          // Read while the client is told its JID, so that its first presence finds it in memory.
          const read = rosters.of(session.account)
          if (read instanceof Promise)
            read.catch((error: unknown) => log.warn('roster-not-read', { account: session.account, error }))
        }),
        // Whoever else hears of the end may still look at it.
        observe('session-ended', ({ session }) => queueMicrotask(() => rosters.release(session.account))),
        observe('account-left', ({ account }) => rosters.leave(account)),
        observe('account-deleted', async ({ account }) => {
          for (const [jid, contact] of await rosters.forget(account)) tellRemoved(account, jid, contact)
        }),
      ],
    }
  },
})

const seesPresence = (contact: Contact | undefined): boolean => contact?.item !== undefined && hasFrom(contact.item.subscription)

/** The version that the client has, when all changes since are known (RFC 6121 §2.6.2); its empty `ver` is no version. */
const knownVersion = (written: string | undefined, now: Roster): number | undefined => {
  if (written === undefined || !/^\d{1,16}$/.test(written)) return undefined
  const version = Number(written)
  if (version < now.since || version > now.version) return undefined
  let changes = 0
  for (const contact of now.contacts.values()) if (contact.version > version) changes++
  return changes > MAX_INTERIM_PUSHES ? undefined : version
}

/** Requests that wait are not in it (RFC 6121 §3.1.3), nor is what was removed. */
const wholeRoster = (now: Roster): Element => {
  const items: Element[] = []
  for (const [jid, contact] of now.contacts) if (contact.item !== undefined) items.push(itemElement(jid, contact))
  return el(NS_ROSTER, 'query', { ver: String(now.version) }, ...items)
}
