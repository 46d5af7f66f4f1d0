import type { Clock } from '#server/base/clock.ts'
import { WorkQueue } from '#server/base/work-queue.ts'
import { BoundedCache } from '#server/core/bounded-cache.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import type { Documents } from '#storage/shapes.ts'

/** The prepared JIDs that an account has blocked. */
export type BlockList = ReadonlySet<string>

/** The list of nearly everybody. */
export const EMPTY: BlockList = new Set()

/** Whether the list covers the address (XEP-0191 §6): itself, its bare JID, or its domain. */
export const isBlocked = (list: BlockList, { jid, bare, domainpart }: Address): boolean =>
  list !== EMPTY && (list.has(jid) || list.has(bare) || list.has(domainpart))

/** Lists of accounts that are not connected are kept for the sake of what arrives for them; larger ones are read each time. */
const AWAY_LIMITS = { maxEntries: 10_000, maxAgeMs: 600_000 }
const MAX_AWAY_JIDS = 20
/** Changes of one account that may wait for each other; nobody has so many at once. */
const MAX_WAITING = 100

/** What happens to a list. */
export interface Change {
  readonly before: BlockList
  readonly after: BlockList
}

/**
 * The block lists of all accounts, asked with every stanza. Those of connected accounts are in memory, so that the answer needs no promise.
 */
export class BlockLists {
  readonly #store: Documents<true>
  readonly #isConnected: (account: BareJid) => boolean
  readonly #connected = new Map<BareJid, BlockList>()
  readonly #away: BoundedCache<BareJid, BlockList>
  readonly #reads = new Map<BareJid, Promise<BlockList>>()
  readonly #changes = new WorkQueue(MAX_WAITING)

  constructor(store: Documents<true>, clock: Clock, isConnected: (account: BareJid) => boolean) {
    this.#store = store
    this.#isConnected = isConnected
    this.#away = new BoundedCache(clock, AWAY_LIMITS)
  }

  /** The account's list; without a promise when it is connected, or was asked for lately. */
  of(account: BareJid): BlockList | Promise<BlockList> {
    return this.#connected.get(account) ?? this.#away.get(account) ?? this.#read(account)
  }

  /** The list of an account that has a session; empty while it is being read. */
  ofConnected(account: BareJid): BlockList {
    return this.#connected.get(account) ?? EMPTY
  }

  #read(account: BareJid): Promise<BlockList> {
    const underWay = this.#reads.get(account)
    if (underWay !== undefined) return underWay
    const read = this.#store.list(account).then(
      (documents) => {
        const list = documents.length === 0 ? EMPTY : new Set(documents.map(({ key }) => key))
        // Changed meanwhile: what was read may be older than that.
        if (this.#reads.get(account) === read) this.#remember(account, list)
        return this.#connected.get(account) ?? list
      },
      (error: unknown) => {
        if (this.#reads.get(account) === read) this.#reads.delete(account)
        throw error
      },
    )
    this.#reads.set(account, read)
    return read
  }

  #remember(account: BareJid, list: BlockList): void {
    this.#reads.delete(account)
    this.#connected.delete(account)
    this.#away.delete(account)
    if (this.#isConnected(account)) this.#connected.set(account, list)
    else if (list.size <= MAX_AWAY_JIDS) this.#away.set(account, list)
  }

  /** Keeps the list in memory for as long as the account is connected. */
  connected(account: BareJid): void | Promise<void> {
    const list = this.of(account)
    // What has to be read is remembered once it was.
    if (list instanceof Promise) return list.then(() => undefined)
    this.#remember(account, list)
  }

  /** Lets go of the list of an account that has no session any more. */
  disconnected(account: BareJid): void {
    const list = this.#connected.get(account)
    if (list !== undefined && !this.#isConnected(account)) this.#remember(account, list)
  }

  /**
   * Changes a list after all earlier changes. `leaving` runs when the change is durable and just before it takes effect: the last moment in which what is
   * blocked by it can be reached.
   */
  change(account: BareJid, next: (before: BlockList) => BlockList, leaving: (change: Change) => void): Promise<Change> {
    return this.#changes.run(account, async () => {
      const before = await this.of(account)
      const after = next(before)
      const added = [...after].filter((jid) => !before.has(jid)).map((key) => ({ key, value: true as const }))
      const removed = [...before].filter((jid) => !after.has(jid)).map((key) => ({ key, value: undefined }))
      const change = { before, after: after.size === 0 ? EMPTY : after }
      if (added.length + removed.length > 0) await this.#store.putAll(account, [...added, ...removed])
      leaving(change)
      this.#remember(account, change.after)
      return change
    })
  }

  /** Lets go of what is in memory of an account; whoever asks next reads it. */
  leave(account: BareJid): void {
    this.#reads.delete(account)
    this.#connected.delete(account)
    this.#away.delete(account)
  }

  /** Forgets the list of an account that is gone. */
  forget(account: BareJid): Promise<void> {
    return this.#changes.run(account, async () => {
      await this.#store.deleteOwner(account)
      this.#remember(account, EMPTY)
    })
  }
}
