import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import type { Account, LogEntry, LogId } from '#storage/shapes.ts'
import { type Entries, messageIdOf } from './marked.ts'
import { passedAt, type Watermarks } from './watermarks.ts'

/** What became of a message (docs/protocol/ticks.md §4), in the order in which it does. */
export type State = 'sent' | 'delivered' | 'read'

/** What one of an account's own messages has come to. */
export interface Tick {
  readonly id: LogId
  readonly messageId: string | undefined
  readonly peer: string
  readonly state: State
  /** When it came to that; `undefined` when nobody knows any more. */
  readonly atMs: number | undefined
  /** Of a message that is read: when a device took it. */
  readonly deliveredMs?: number | undefined
}

/** What the states need of the server. */
export interface StatesOptions {
  readonly entries: Entries
  readonly watermarks: Watermarks
  readonly isLocal: (address: Address) => boolean
  readonly accountOf: (jid: BareJid) => Account | undefined | Promise<Account | undefined>
  /** Whether the account shows its presence to the address (RFC 6121 §2.1.2.5), and does not block it. */
  readonly showsPresence: (account: BareJid, to: Address) => boolean | Promise<boolean>
}

type Delivered = { readonly atMs: number | undefined } | undefined

/** Looks up what became of messages, and decides who may know. */
export class States {
  readonly #options: StatesOptions

  constructor(options: StatesOptions) {
    this.#options = options
  }

  /** Whether the account may be told what the peer's devices take: XEP-0184 §8, nobody learns that somebody is online who may not see its presence. */
  maySeeDelivery(account: BareJid, peer: string): boolean | Promise<boolean> {
    const [asker, recipient] = [parseJid(account), parseJid(peer)]
    if (asker === undefined || recipient === undefined || !this.#options.isLocal(recipient)) return false
    return this.#options.showsPresence(recipient.bare, asker)
  }

  /** The states of messages that this account has sent. */
  async of(account: BareJid, sent: readonly LogEntry[]): Promise<readonly Tick[]> {
    const peers = [...new Set(sent.map(({ peer }) => peer))]
    const known = new Map(await Promise.all(peers.map(async (peer) => [peer, await this.#knownOf(account, peer)] as const)))
    return Promise.all(
      sent.map(async (entry) => {
        const { theirs, maySee } = known.get(entry.peer) ?? { theirs: undefined, maySee: false }
        const messageId = messageIdOf(parseStanza(entry.stanza))
        const base = { id: entry.id, messageId, peer: entry.peer }
        // Whoever writes to himself has read it.
        if (entry.peer === account) return { ...base, state: 'read', atMs: entry.atMs } as const
        const read = passedAt(theirs, entry.id)
        const delivered = maySee ? await this.#delivered(entry) : undefined
        if (read !== undefined) return { ...base, state: 'read', atMs: read.atMs, deliveredMs: delivered?.atMs } as const
        return delivered === undefined
          ? ({ ...base, state: 'sent', atMs: entry.atMs } as const)
          : ({ ...base, state: 'delivered', atMs: delivered.atMs } as const)
      }),
    )
  }

  async #knownOf(account: BareJid, peer: string) {
    const [{ theirs }, maySee] = await Promise.all([
      this.#options.watermarks.of(account, peer),
      this.maySeeDelivery(account, peer),
    ])
    return { theirs, maySee }
  }

  async #delivered({ id, peer, atMs }: LogEntry): Promise<Delivered> {
    const recipient = await this.#options.accountOf(peer as BareJid)
    // Of an account that is no more, or is another by now, nothing is known.
    if (recipient === undefined || recipient.createdAtMs > atMs) return undefined
    const entry = await this.#options.entries.get(recipient.jid, id)
    // What waits for a device is kept; what is gone was taken.
    if (entry === undefined) return { atMs: undefined }
    return entry.isPending ? undefined : { atMs: entry.takenAtMs }
  }
}
