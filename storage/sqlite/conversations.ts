import type { LogReader, Missing } from './log-reader.ts'
import type { Names } from './names.ts'
import type { Pace } from './pace.ts'
import { isReceived, newestOf, type PeerIndex } from './peer-index.ts'
import { EVERYTHING, type Posting } from './postings.ts'

/** Conversations in columns. */
export interface ConversationPage {
  readonly peers: string[]
  readonly last: number[]
  readonly answered: number[]
}

/** The conversations of owners: what the index by peer has, and the few entries behind it. */
export class Conversations {
  readonly #reader: LogReader
  readonly #peers: PeerIndex
  readonly #names: Names
  readonly #pace: Pace

  constructor(parts: { readonly reader: LogReader; readonly peers: PeerIndex; readonly names: Names; readonly pace: Pace }) {
    this.#reader = parts.reader
    this.#peers = parts.peers
    this.#names = parts.names
    this.#pace = parts.pace
  }

  page(owner: number, before: number, limit: number): ConversationPage | Missing {
    const unsorted = this.#unsorted(owner)
    if (unsorted === undefined) return 'peers'
    const newest = newestOf(unsorted)
    const found = [...newest].map(([peer, { last, answered }]) => ({ peer, last, answered })).filter(({ last }) => last < before)
    found.sort((a, b) => b.last - a.last)
    if (found.length < limit) {
      for (const conversation of this.#peers.conversations(owner, before)) {
        if (!newest.has(conversation.peer) && found.push(conversation) >= limit) break
      }
    }
    const shown = found.slice(0, limit)
    return {
      peers: shown.map(({ peer }) => this.#names.textOf(peer)),
      last: shown.map(({ last }) => last),
      // What is newest behind the index may answer nothing, and what is in it does.
      answered: shown.map(({ peer, answered }) => answered || (this.#peers.conversation(owner, peer)?.answered ?? 0)),
    }
  }

  /** How many texts each of these peers sent behind these ids. */
  unread(owner: number, peers: readonly string[], after: readonly number[]): number[] | Missing {
    const unsorted = this.#unsorted(owner)
    if (unsorted === undefined) return 'peers'
    const behind = Map.groupBy(unsorted.filter(isReceived), ({ peer }) => peer)
    return peers.map((name, index) => {
      const peer = this.#names.find(name)
      if (peer === undefined) return 0
      const from = after[index] ?? 0
      const unindexed = behind.get(peer)?.filter(({ id }) => id > from).length ?? 0
      return this.#peers.received(owner, peer, from) + unindexed
    })
  }

  /** What the index does not have yet, unless that is too much to look through. */
  #unsorted(owner: number): readonly Posting[] | undefined {
    const window = { ...EVERYTHING, after: this.#peers.progress.of(owner) }
    const order = { limit: this.#pace.unsortedEntries + 1, isBackwards: false }
    const { entries } = this.#reader.choose(owner, window, order, this.#pace.entriesPerLook)
    return entries.length > this.#pace.unsortedEntries ? undefined : entries
  }
}
