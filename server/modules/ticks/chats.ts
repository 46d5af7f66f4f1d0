import type { BareJid } from '#stanzas/jid.ts'
import type { LogConversation, LogEntry, LogId } from '#storage/shapes.ts'
import type { Entries } from './marked.ts'
import { placeOf, type Watermarks } from './watermarks.ts'

/** A conversation in a chat list. */
export interface Chat {
  readonly peer: string
  readonly last: LogEntry
  readonly unread: number
  /** How far the account has read it, and how far its peer says that it has; 0 at the beginning. */
  readonly read: LogId
  readonly theirs: LogId
}

/** What a chat list has in all. */
export interface Sums {
  readonly chats: number
  readonly unreadChats: number
  readonly unread: number
}

/** How many conversations the sums are over: 0.1 s of reading, where none of them is read. */
const MAX_SUMMED = 1_000
const SLICE = 100

interface Reading {
  readonly unread: number
  readonly read: LogId
  readonly theirs: LogId
}

/** The conversations of accounts, newest first, and what is unread in them. */
export class Chats {
  readonly #entries: Entries
  readonly #watermarks: Watermarks

  constructor(entries: Entries, watermarks: Watermarks) {
    this.#entries = entries
    this.#watermarks = watermarks
  }

  /** The conversations whose newest message is older than `before`. */
  async page(account: BareJid, page: { readonly before?: LogId; readonly limit: number }): Promise<readonly Chat[]> {
    const chats = await Promise.all(
      (await this.#entries.conversations(account, page)).map(async (conversation) => {
        const [last, reading] = await Promise.all([
          this.#entries.get(account, conversation.last),
          this.#reading(account, conversation),
        ])
        return last === undefined ? undefined : { peer: conversation.peer, last, ...reading }
      }),
    )
    return chats.filter((chat) => chat !== undefined)
  }

  /** What the newest conversations have together. */
  async sums(account: BareJid): Promise<Sums> {
    const sums = { chats: 0, unreadChats: 0, unread: 0 }
    for (let before = Number.POSITIVE_INFINITY; ; ) {
      const slice = await this.#entries.conversations(account, { before, limit: SLICE })
      for (const { unread } of await Promise.all(slice.map((conversation) => this.#reading(account, conversation)))) {
        sums.chats++
        sums.unread += unread
        if (unread > 0) sums.unreadChats++
      }
      const last = slice.at(-1)
      if (last === undefined || slice.length < SLICE || sums.chats >= MAX_SUMMED) return sums
      before = last.last
    }
  }

  async #reading(account: BareJid, { peer, last }: LogConversation): Promise<Reading> {
    if (peer === account) return { unread: 0, read: last, theirs: last }
    const progress = await this.#watermarks.of(account, peer)
    const [marked, theirs] = [placeOf(progress.read), placeOf(progress.theirs)]
    if (last <= marked) return { unread: 0, read: marked, theirs }
    const text = { peer, isText: true, isTransient: false }
    const answers = await this.#entries.range(account, { ...text, direction: 'out', after: marked, backwards: true, limit: 1 })
    // docs/protocol/ticks.md §7.1: who answers has read what was before.
    const read = answers[0]?.id ?? marked
    if (last <= read) return { unread: 0, read, theirs }
    return { unread: await this.#entries.count(account, { ...text, direction: 'in', after: read }), read, theirs }
  }
}
