import type { BareJid } from '#stanzas/jid.ts'
import type { LogConversation, LogEntry, LogId } from '#storage/shapes.ts'
import type { Entries } from './marked.ts'
import { placeOf, type Watermarks } from './watermarks.ts'

/** How far a conversation has been read. */
interface Reading {
  readonly peer: string
  /** Its newest message. */
  readonly newest: LogId
  readonly unread: number
  /** How far the account has read it, and how far its peer says that it has; 0 at the beginning. */
  readonly read: LogId
  readonly theirs: LogId
}

/** A conversation in a chat list. */
export interface Chat extends Omit<Reading, 'newest'> {
  readonly last: LogEntry
}

/** What a chat list has in all. */
export interface Sums {
  readonly chats: number
  readonly unreadChats: number
  readonly unread: number
}

/** Which conversations: those whose newest message is older than `before`, the newest first. */
export interface ChatsPage {
  readonly before?: LogId
  readonly limit: number
  /** Only those with something unread, of the newest thousand. */
  readonly isUnreadOnly?: boolean
}

/** How many conversations are looked through, and how many at once: 2 ms of the store. */
const MAX_LOOKED_AT = 1_000
const SLICE = 250
const MAX_COUNTED = 10_000

/** The conversations of accounts, newest first, and what is unread in them. */
export class Chats {
  readonly #entries: Entries
  readonly #watermarks: Watermarks

  constructor(entries: Entries, watermarks: Watermarks) {
    this.#entries = entries
    this.#watermarks = watermarks
  }

  /** A page of conversations with their newest messages. */
  async page(account: BareJid, { isUnreadOnly = false, ...page }: ChatsPage): Promise<readonly Chat[]> {
    const readings = isUnreadOnly ? await this.#unread(account, page) : await this.#readings(account, page)
    const entries = await Promise.all(readings.map(({ newest }) => this.#entries.get(account, newest)))
    return readings.flatMap(({ newest: _, ...reading }, index) => {
      const last = entries[index]
      return last === undefined ? [] : [{ ...reading, last }]
    })
  }

  /** How many conversations there are, ten thousand at most. */
  async count(account: BareJid): Promise<number> {
    return (await this.#entries.conversations(account, { limit: MAX_COUNTED })).length
  }

  /** What the newest thousand conversations have together. */
  async sums(account: BareJid): Promise<Sums> {
    const sums = { chats: 0, unreadChats: 0, unread: 0 }
    for await (const { unread } of this.#newest(account)) {
      sums.chats++
      sums.unread += unread
      if (unread > 0) sums.unreadChats++
    }
    return sums
  }

  async #unread(account: BareJid, { before, limit }: ChatsPage): Promise<readonly Reading[]> {
    const found: Reading[] = []
    for await (const reading of this.#newest(account, before)) if (reading.unread > 0 && found.push(reading) >= limit) break
    return found
  }

  /** The newest thousand from there on. */
  async *#newest(account: BareJid, from?: LogId): AsyncGenerator<Reading, void, void> {
    let before = from
    for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; lookedAt += SLICE) {
      const slice = await this.#readings(account, { ...(before !== undefined && { before }), limit: SLICE })
      yield* slice
      if (slice.length < SLICE) return
      before = slice.at(-1)?.newest
    }
  }

  async #readings(account: BareJid, page: ChatsPage): Promise<readonly Reading[]> {
    const conversations = await this.#entries.conversations(account, page)
    const readings = await Promise.all(conversations.map((conversation) => this.#reading(account, conversation)))
    const behind = readings.filter(({ newest, read }) => newest > read)
    const counts = await this.#entries.unread(
      account,
      behind.map(({ peer, read }) => ({ peer, after: read })),
    )
    const unread = new Map(behind.map(({ peer }, index) => [peer, counts[index] ?? 0]))
    return readings.map((reading) => ({ ...reading, unread: unread.get(reading.peer) ?? 0 }))
  }

  async #reading(account: BareJid, { peer, last: newest, answered }: LogConversation): Promise<Omit<Reading, 'unread'>> {
    if (peer === account) return { peer, newest, read: newest, theirs: newest }
    const { read, theirs } = await this.#watermarks.of(account, peer)
    // docs/protocol/ticks.md §7.1: who answers has read what was before.
    return { peer, newest, read: Math.max(placeOf(read), answered), theirs: placeOf(theirs) }
  }
}
