import type { Clock } from '#server/base/clock.ts'
import { QueueFullError, WorkQueue } from '#server/base/work-queue.ts'
import { BoundedCache } from '#server/core/bounded-cache.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Documents } from '#storage/shapes.ts'
import { type Contact, STRANGER } from './contact.ts'

/** Contacts read at once. */
const PAGE = 1_000
/** Changes and deliveries that may wait for an account's earlier changes; more is a flood. */
const MAX_WAITING = 1_000
/** Removed contacts that are remembered for the sake of XEP-0237; when there are more, the older half is forgotten. */
const MAX_REMOVED = 64
/** Rosters of accounts that have just left or were asked about are kept for when they come back: some 35 MB at most, since larger ones are read again. */
const AWAY_LIMITS = { maxEntries: 5_000, maxAgeMs: 600_000 }
const MAX_AWAY_CONTACTS = 20
const MAX_AWAY_TEXT = 2_000
/** The document that tells since which version changes are known; no contact has this key. */
const SINCE = ''

/** One account's contacts in memory. Only `Rosters` changes it. */
export interface Roster {
  /** Of its last visible change; 0 when there never was one. */
  readonly version: number
  /** Changes since this version are known; an older one is answered with the whole roster. */
  readonly since: number
  /** How many contacts are in the roster, and how many requests wait. */
  readonly items: number
  readonly requests: number
  /** How many characters the items have. */
  readonly text: number
  readonly contacts: ReadonlyMap<BareJid, Contact>
}

/** What every account has that never had a contact: nearly all its memory is not there. */
const EMPTY: Roster = { version: 0, since: 0, items: 0, requests: 0, text: 0, contacts: new Map() }

/** What becomes of a contact, and what follows once that is durable. */
export interface Decision {
  /** Absent: nothing changes. */
  readonly next?: Contact
  readonly beforePush?: () => void
  readonly afterPush?: () => void
}
/** Decides on what is there when all earlier changes are done; may refuse by a `StanzaError`. */
export type Decide = (now: Contact, roster: Roster) => Decision

/** What rosters need of the server. */
export interface RostersOptions {
  readonly store: Documents<Contact>
  readonly clock: Clock
  readonly maxItems: number
  readonly maxText: number
  readonly isOnline: (account: BareJid) => boolean
  readonly exists: (account: BareJid) => boolean | Promise<boolean>
  readonly push: (account: BareJid, jid: BareJid, contact: Contact) => void
}

/**
 * The rosters of all accounts. Those of accounts that are online are kept in memory, and small ones for a while longer; all others are read when they are needed.
 * The changes of one account happen strictly one after the other: what was decided is written, then seen in memory, then pushed, then acted on,
 * before the next change is looked at.
 */
export class Rosters {
  readonly #options: RostersOptions
  readonly #loaded = new Map<BareJid, Roster | Promise<Roster>>()
  /** Of accounts that are not online. */
  readonly #away: BoundedCache<BareJid, Roster>
  readonly #queue = new WorkQueue(MAX_WAITING)
  /** How many tasks of an account wait or run. */
  readonly #busy = new Map<BareJid, number>()

  constructor(options: RostersOptions) {
    this.#options = options
    this.#away = new BoundedCache(options.clock, AWAY_LIMITS)
  }

  /** The account's roster; without a promise when it is in memory. */
  of(account: BareJid): Roster | Promise<Roster> {
    const known = this.#loaded.get(account) ?? this.#back(account)
    if (known !== undefined) return known
    const isCurrent = (): boolean => this.#loaded.get(account) === loading
    const loading: Promise<Roster> = this.#load(account).then(
      (roster) => {
        // It has left meanwhile: what was read is for those who asked before, and is not remembered.
        if (!isCurrent()) return roster
        this.#loaded.set(account, roster)
        this.release(account)
        return roster
      },
      (error: unknown) => {
        if (isCurrent()) this.#loaded.delete(account)
        throw error
      },
    )
    this.#loaded.set(account, loading)
    return loading
  }

  /** The roster that was kept of an account that was away; it stays in memory if that is online again. */
  #back(account: BareJid): Roster | undefined {
    const kept = this.#away.get(account)
    if (kept === undefined || !(this.#options.isOnline(account) || this.#busy.has(account))) return kept
    this.#away.delete(account)
    this.#loaded.set(account, kept)
    return kept
  }

  /** What the account keeps of one contact. Of a roster that is not in memory that alone is read: whoever asks may be a stranger who asks again and again. */
  contact(account: BareJid, jid: BareJid): Contact | undefined | Promise<Contact | undefined> {
    const known = this.#loaded.get(account) ?? this.#away.get(account)
    if (known === undefined) return this.#options.store.get(account, jid)
    return known instanceof Promise ? known.then(({ contacts }) => contacts.get(jid)) : known.contacts.get(jid)
  }

  async #load(account: BareJid): Promise<Roster> {
    const all: (readonly [BareJid, Contact])[] = []
    let since = 0
    for (let after: string | undefined; ; ) {
      const page = await this.#options.store.list(account, after === undefined ? { limit: PAGE } : { after, limit: PAGE })
      for (const { key, value } of page)
        if (key === SINCE) since = value.version
        else all.push([key as BareJid, value])
      if (page.length < PAGE) break
      after = page.at(-1)?.key
    }
    return since === 0 && all.length === 0 ? EMPTY : summed(new Map(all), since)
  }

  /** Lets go of a roster that nobody needs in memory. */
  release(account: BareJid): void {
    const roster = this.#loaded.get(account)
    if (roster === undefined || roster instanceof Promise || this.#options.isOnline(account) || this.#busy.has(account)) return
    this.#loaded.delete(account)
    if (isSmall(roster)) this.#away.set(account, roster)
  }

  /** Lets go of what is in memory of an account; whoever asks next reads it. */
  leave(account: BareJid): void {
    this.#loaded.delete(account)
    this.#away.delete(account)
  }

  /** Whether changes of this account are under way, so that what is delivered to it now has to wait for them (see `inOrder`). */
  isBusy(account: BareJid): boolean {
    return this.#busy.has(account)
  }

  /** Runs a task after all changes of this account that were begun before. */
  async inOrder<T>(account: BareJid, task: () => T | Promise<T>): Promise<T> {
    this.#busy.set(account, (this.#busy.get(account) ?? 0) + 1)
    try {
      return await this.#queue.run(account, task)
    } catch (error) {
      throw error instanceof QueueFullError ? new StanzaError('resource-constraint') : error
    } finally {
      const left = (this.#busy.get(account) ?? 1) - 1
      if (left > 0) this.#busy.set(account, left)
      else this.#busy.delete(account)
      this.release(account)
    }
  }

  /** Changes what an account keeps of one contact. Nothing happens, and nothing is decided, when there is no such account. */
  change(account: BareJid, jid: BareJid, decide: Decide): Promise<void> {
    return this.inOrder(account, async () => {
      if (!this.#options.isOnline(account) && !(await this.#options.exists(account))) return
      const roster = await this.of(account)
      const now = roster.contacts.get(jid) ?? STRANGER
      const decision = decide(now, roster)
      const next = decision.next
      if (next === undefined) {
        decision.beforePush?.()
        decision.afterPush?.()
        return
      }
      if (!this.#hasRoom(roster, jid, now, next)) throw new StanzaError('resource-constraint')
      const isVisible = next.item !== now.item
      const version = isVisible ? Math.max(roster.version + 1, this.#options.clock.nowMs()) : now.version
      const changed = ownText({ ...next, version })
      await this.#apply(account, roster, jid, changed)
      decision.beforePush?.()
      if (isVisible) this.#options.push(account, jid, changed)
      decision.afterPush?.()
    })
  }

  #hasRoom({ items, text }: Roster, jid: BareJid, now: Contact, next: Contact): boolean {
    const { maxItems, maxText } = this.#options
    if (next.item !== undefined && now.item === undefined && items >= maxItems) return false
    // What makes it no larger is always possible, such as an answer to a request.
    const more = textOf(jid, next) - textOf(jid, now)
    return more <= 0 || text + more <= maxText
  }

  /** Forgets a whole roster; gives what was in it. */
  forget(account: BareJid): Promise<ReadonlyMap<BareJid, Contact>> {
    return this.inOrder(account, async () => {
      const { contacts } = await this.of(account)
      await this.#options.store.deleteOwner(account)
      this.leave(account)
      return contacts
    })
  }

  async #apply(account: BareJid, roster: Roster, jid: BareJid, contact: Contact): Promise<void> {
    const contacts = new Map(roster.contacts)
    const changes: { key: string; value: Contact | undefined }[] = []
    const isStranger = contact.version === 0 && contact.request === undefined
    changes.push({ key: jid, value: isStranger ? undefined : contact })
    if (isStranger) contacts.delete(jid)
    else contacts.set(jid, contact)

    let since = roster.since
    if (since === 0 && contact.version > 0) since = contact.version
    for (const [forgotten, { version }] of tooManyRemoved(contacts)) {
      contacts.delete(forgotten)
      changes.push({ key: forgotten, value: undefined })
      since = Math.max(since, version)
    }
    if (since !== roster.since) changes.push({ key: SINCE, value: { version: since } })
    await this.#options.store.putAll(account, changes)
    this.#loaded.set(account, summed(contacts, since))
  }
}

/** Requests are whole stanzas, so one is enough for a roster to be large. */
const isSmall = ({ contacts, text, requests }: Roster): boolean =>
  contacts.size <= MAX_AWAY_CONTACTS && text <= MAX_AWAY_TEXT && requests === 0

/** Without references into the text that the client sent, which would be kept with it. */
const ownText = (contact: Contact): Contact => JSON.parse(JSON.stringify(contact)) as Contact

const textOf = (jid: BareJid, { item }: Contact): number =>
  item === undefined ? 0 : (item.groups ?? []).reduce((sum, group) => sum + group.length, jid.length + (item.name?.length ?? 0))

const summed = (contacts: ReadonlyMap<BareJid, Contact>, since: number): Roster => {
  let version = since
  let items = 0
  let requests = 0
  let text = 0
  for (const [jid, contact] of contacts) {
    text += textOf(jid, contact)
    if (contact.version > version) version = contact.version
    if (contact.item !== undefined) items++
    if (contact.request !== undefined) requests++
  }
  return { version, since, items, requests, text, contacts }
}

const tooManyRemoved = (contacts: ReadonlyMap<BareJid, Contact>): readonly (readonly [BareJid, Contact])[] => {
  const removed: [BareJid, Contact][] = []
  for (const entry of contacts) if (entry[1].item === undefined && entry[1].request === undefined) removed.push(entry)
  if (removed.length <= MAX_REMOVED) return []
  return removed.sort((a, b) => a[1].version - b[1].version).slice(0, removed.length - MAX_REMOVED / 2)
}
