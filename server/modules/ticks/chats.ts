import { mayHaveMore } from '#server/core/newest.ts'
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

/** How many conversations the sums are over, read or not, and how many that are unread: these cost a millisecond or more each. */
const MAX_SUMMED = 1_000
const MAX_SUMMED_UNREAD = 200
const MAX_COUNTED = 10_000
/** Conversations that are looked at side by side. */
const SLICE = 25
/** With fewer unread messages they are counted by reading them, which also shows whether one was answered. */
const MANY = { limit: 100, maxBytes: 65_536 }

type Reading = Pick<Chat, 'unread' | 'read'>

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
    const conversations = await this.#entries.conversations(account, page)
    const chats = await Promise.all(conversations.map((conversation) => this.#chat(account, conversation)))
    return chats.filter((chat) => chat !== undefined)
  }

  /** How many conversations there are, ten thousand at most. */
  async count(account: BareJid): Promise<number> {
    return (await this.#entries.conversations(account, { limit: MAX_COUNTED })).length
  }

  /** What the newest conversations have together. */
  async sums(account: BareJid): Promise<Sums> {
    const sums = { chats: 0, unreadChats: 0, unread: 0 }
    for (let before = Number.POSITIVE_INFINITY; ; ) {
      const slice = await this.#entries.conversations(account, { before, limit: SLICE })
      for (const chat of await Promise.all(slice.map((conversation) => this.#chat(account, conversation)))) {
        sums.chats++
        sums.unread += chat?.unread ?? 0
        if (chat !== undefined && chat.unread > 0) sums.unreadChats++
      }
      const last = slice.at(-1)
      const isEnough = sums.chats >= MAX_SUMMED || sums.unreadChats >= MAX_SUMMED_UNREAD
      if (last === undefined || slice.length < SLICE || isEnough) return sums
      before = last.last
    }
  }

  async #chat(account: BareJid, { peer, last: lastId }: LogConversation): Promise<Chat | undefined> {
    const [last, progress] = await Promise.all([this.#entries.get(account, lastId), this.#watermarks.of(account, peer)])
    if (last === undefined) return undefined
    if (peer === account) return { peer, last, unread: 0, read: lastId, theirs: lastId }
    const theirs = placeOf(progress.theirs)
    return { peer, last, theirs, ...(await this.#reading(account, last, placeOf(progress.read))) }
  }

  async #reading(account: BareJid, last: LogEntry, marked: LogId): Promise<Reading> {
    if (last.id <= marked) return { unread: 0, read: marked }
    // docs/protocol/ticks.md §7.1: who answers has read what was before.
    if (last.direction === 'out') return { unread: 0, read: last.id }
    const text = { peer: last.peer, isText: true, isTransient: false, after: marked }
    const newest = await this.#entries.range(account, { ...text, ...MANY, backwards: true })
    const answer = newest.findIndex(({ direction }) => direction === 'out')
    if (answer >= 0) return { unread: answer, read: newest[answer]?.id ?? marked }
    if (!mayHaveMore(newest, MANY)) return { unread: newest.length, read: marked }
    const answers = await this.#entries.range(account, { ...text, direction: 'out', backwards: true, limit: 1 })
    const read = answers[0]?.id ?? marked
    return { unread: await this.#entries.count(account, { ...text, direction: 'in', after: read }), read }
  }
}
