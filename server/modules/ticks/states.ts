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
  readonly isHere: (account: BareJid) => boolean
  /** Asks the home of a recipient what its devices have taken (`asked`). */
  readonly ask: (recipient: BareJid, question: string) => Promise<string | undefined>
  readonly onFailure: (account: BareJid, error: unknown) => void
}

type Delivered = { readonly atMs: number | undefined } | undefined

/** Who asks what became of which messages, and when they were sent; as it goes from home to home. */
interface Question {
  readonly asker: BareJid
  readonly sent: readonly (readonly [id: LogId, atMs: number])[]
}
/** Those that a device has taken; when, where that is known. */
type Answer = readonly (readonly [id: LogId, atMs: number | null])[]

const NOTHING: ReadonlyMap<LogId, Delivered> = new Map()

/** Looks up what became of messages, and decides who may know. */
export class States {
  readonly #options: StatesOptions

  constructor(options: StatesOptions) {
    this.#options = options
  }

  /** Whether the account may be told what the devices of the peer, which is at home here, take: XEP-0184 §8, nobody learns that somebody is online who may not see its presence. */
  maySeeDelivery(account: BareJid, peer: string): boolean | Promise<boolean> {
    const [asker, recipient] = [parseJid(account), parseJid(peer)]
    if (asker === undefined || recipient === undefined || !this.#options.isLocal(recipient)) return false
    return this.#options.showsPresence(recipient.bare, asker)
  }

  /** The states of messages that this account has sent. */
  async of(account: BareJid, sent: readonly LogEntry[]): Promise<readonly Tick[]> {
    const byPeer = Map.groupBy(sent, ({ peer }) => peer)
    const known = new Map(
      await Promise.all([...byPeer].map(async ([peer, each]) => [peer, await this.#knownOf(account, peer, each)] as const)),
    )
    return sent.map((entry) => {
      const { theirs, taken } = known.get(entry.peer) ?? { theirs: undefined, taken: NOTHING }
      const messageId = messageIdOf(parseStanza(entry.stanza))
      const base = { id: entry.id, messageId, peer: entry.peer }
      // Whoever writes to himself has read it.
      if (entry.peer === account) return { ...base, state: 'read', atMs: entry.atMs } as const
      const read = passedAt(theirs, entry.id)
      const delivered = taken.get(entry.id)
      if (read !== undefined) return { ...base, state: 'read', atMs: read.atMs, deliveredMs: delivered?.atMs } as const
      return delivered === undefined
        ? ({ ...base, state: 'sent', atMs: entry.atMs } as const)
        : ({ ...base, state: 'delivered', atMs: delivered.atMs } as const)
    })
  }

  async #knownOf(account: BareJid, peer: string, sent: readonly LogEntry[]) {
    const [{ theirs }, taken] = await Promise.all([
      this.#options.watermarks.of(account, peer),
      this.#takenBy(account, peer, sent),
    ])
    return { theirs, taken }
  }

  /** What devices of the peer have taken, as far as the account may know. */
  async #takenBy(account: BareJid, peer: string, sent: readonly LogEntry[]): Promise<ReadonlyMap<LogId, Delivered>> {
    const { isHere, isLocal, ask, onFailure } = this.#options
    const recipient = parseJid(peer)
    if (recipient === undefined || peer === account || !isLocal(recipient)) return NOTHING
    const question: Question = { asker: account, sent: sent.map(({ id, atMs }) => [id, atMs]) }
    if (isHere(recipient.bare)) return this.#answer(recipient.bare, question)
    try {
      const answer = JSON.parse((await ask(recipient.bare, JSON.stringify(question))) ?? '[]') as Answer
      return new Map(answer.map(([id, atMs]) => [id, { atMs: atMs ?? undefined }]))
    } catch (error) {
      onFailure(account, error)
      return NOTHING
    }
  }

  /** At the home of the recipient. */
  async asked(recipient: BareJid, question: string): Promise<string> {
    const taken = await this.#answer(recipient, JSON.parse(question) as Question)
    const answer: Answer = [...taken].map(([id, delivered]) => [id, delivered?.atMs ?? null])
    return JSON.stringify(answer)
  }

  async #answer(recipient: BareJid, { asker, sent }: Question): Promise<ReadonlyMap<LogId, Delivered>> {
    if (!(await this.maySeeDelivery(asker, recipient))) return NOTHING
    const account = await this.#options.accountOf(recipient)
    if (account === undefined) return NOTHING
    const found = await Promise.all(
      sent.map(async ([id, atMs]) => {
        // Of an account that is another by now, nothing is known.
        const delivered = account.createdAtMs > atMs ? undefined : await this.#delivered(recipient, id)
        return [id, delivered] as const
      }),
    )
    return new Map(found.filter(([, delivered]) => delivered !== undefined))
  }

  async #delivered(recipient: BareJid, id: LogId): Promise<Delivered> {
    const entry = await this.#options.entries.get(recipient, id)
    // What waits for a device is kept; what is gone was taken.
    if (entry === undefined) return { atMs: undefined }
    return entry.isPending ? undefined : { atMs: entry.takenAtMs }
  }
}
