import type { Session } from '#server/core/session.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import type { LogEntry, LogId } from '#storage/shapes.ts'
import { pushOf, tickElement, watermarkElement } from './elements.ts'
import { type Entries, messageIdOf } from './marked.ts'
import type { State, States } from './states.ts'
import type { Move } from './watermarks.ts'

/** Messages whose delivery is being waited for: a few megabytes. What is beyond them is looked up when it is taken. */
const MAX_IN_FLIGHT = 10_000
/** Changes in one stanza. */
const MAX_CHANGES = 100

/** A message to an account that is at home here, which no device has taken when this is noted. */
interface Flight {
  readonly sender: BareJid
  readonly recipient: BareJid
  readonly messageId: string | undefined
  /** Whether the sender wants to be told; at home here it does, or there would be no note. */
  readonly isAwaited: boolean
  /** When a device took it, before the sender's home has said that it wants to be told. */
  readonly takenAtMs?: number
}

/** What homes tell each other of a message: to the recipient's, that its sender wants to be told; to the sender's, that a device has taken it. */
interface Word {
  readonly id: LogId
  readonly messageId?: string | undefined
  readonly peer: BareJid
  readonly atMs?: number
}

/** What has become of one message since its account was told. */
interface Change {
  readonly messageId: string | undefined
  readonly peer: string
  readonly times: Partial<Record<State, number>>
}

/** What an account is yet to be told. */
class News {
  readonly changes = new Map<LogId, Change>()
  readonly watermarks = new Map<string, Move>()

  add(id: LogId, messageId: string | undefined, peer: string, state: State, atMs: number): void {
    const change = this.changes.get(id) ?? { messageId, peer, times: {} }
    change.times[state] ??= atMs
    this.changes.set(id, change)
  }
}

/** What pushes need of the server. */
export interface PushesOptions {
  readonly entries: Entries
  readonly states: Pick<States, 'maySeeDelivery'>
  /** The newest id that was given. */
  readonly lastId: () => LogId
  /** The first account begins to want to be told, or the last one has ceased to. */
  readonly onWanted: (isWanted: boolean) => void
  readonly isHere: (account: BareJid) => boolean
  /** Tells the home of a recipient (`watch`) or of a sender (`delivered`). */
  readonly tell: (account: BareJid, what: 'watch' | 'delivered', word: string) => void
  readonly onFailure: (account: BareJid, error: unknown) => void
}

/**
 * Tells the sessions that want to know what becomes of their account's messages. While there is none, nothing is done at all (`onWanted`);
 * while there are some, a message of an account without one costs a look-up in a map.
 */
export class Pushes {
  readonly #options: PushesOptions
  readonly #wanting = new Map<BareJid, Set<Session>>()
  readonly #inFlight = new Map<LogId, Flight>()
  /** Of what is newer than this, `#inFlight` knows all that matters. */
  #knownSince: LogId = 0
  /** Accounts that have come to this process: of messages that are older, senders elsewhere were not noted here. */
  readonly #cameAt = new Map<BareJid, LogId>()
  /** Entries taken of which the sender is yet to be looked up, by recipient. */
  #taken = new Map<BareJid, LogId[]>()
  #news = new Map<BareJid, News>()
  #isDue = false
  #isTelling = false

  constructor(options: PushesOptions) {
    this.#options = options
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  wants(session: Session): void {
    const sessions = this.#wanting.get(session.account)
    if (sessions !== undefined) return void sessions.add(session)
    if (this.#wanting.size === 0) this.#options.onWanted(true)
    this.#wanting.set(session.account, new Set([session]))
    this.#knownSince = this.#options.lastId()
  }

  wantsNoMore(session: Session): void {
    const sessions = this.#wanting.get(session.account)
    if (sessions?.delete(session) !== true || sessions.size > 0) return
    this.#wanting.delete(session.account)
    if (this.#wanting.size > 0) return
    for (const [id, { sender }] of this.#inFlight) if (this.#options.isHere(sender)) this.#inFlight.delete(id)
    this.#options.onWanted(false)
  }

  /** A message between accounts that are at home here was committed. */
  sent(id: LogId, message: Stanza, from: BareJid, to: BareJid, atMs: number): void {
    const messageId = messageIdOf(message)
    const news = this.#newsFor(from)
    if (news === undefined) return
    // Whoever writes to himself has read it.
    news.add(id, messageId, to, from === to ? 'read' : 'sent', atMs)
    if (from !== to) this.#note(id, { sender: from, recipient: to, messageId: detached(messageId), isAwaited: true })
  }

  /** A message to an account that is at home elsewhere was committed there. */
  sentAway(id: LogId, message: Stanza, from: BareJid, to: BareJid, atMs: number): void {
    const messageId = messageIdOf(message)
    const news = this.#newsFor(from)
    if (news === undefined) return
    news.add(id, messageId, to, 'sent', atMs)
    const word: Word = { id, messageId: detached(messageId), peer: from }
    this.#options.tell(to, 'watch', JSON.stringify(word))
  }

  /** A message from an account that is at home elsewhere was committed; whether that wants to be told is known there. */
  cameFromAway(id: LogId, from: BareJid, to: BareJid): void {
    if (!this.#inFlight.has(id)) this.#note(id, { sender: from, recipient: to, messageId: undefined, isAwaited: false })
  }

  /** It wants to be. */
  watch(recipient: BareJid, payload: string): void {
    const { id, messageId, peer: sender } = JSON.parse(payload) as Word
    const known = this.#inFlight.get(id)
    const flight: Flight = { sender, recipient, messageId, isAwaited: true }
    if (known?.takenAtMs === undefined) return this.#note(id, flight)
    this.#inFlight.delete(id)
    this.#tellSender(flight, id, known.takenAtMs)
  }

  #note(id: LogId, flight: Flight): void {
    this.#inFlight.set(id, flight)
    if (this.#inFlight.size <= MAX_IN_FLIGHT) return
    for (const [oldest, { takenAtMs }] of this.#inFlight) {
      this.#inFlight.delete(oldest)
      if (takenAtMs === undefined) this.#knownSince = Math.max(this.#knownSince, oldest)
      return
    }
  }

  /** A device of the account has taken an entry. */
  taken(account: BareJid, id: LogId, atMs: number): void {
    const flight = this.#inFlight.get(id)
    if (flight !== undefined && flight.recipient === account) {
      this.#inFlight.delete(id)
      if (flight.isAwaited) this.#tellSender(flight, id, atMs)
      else this.#note(id, { ...flight, takenAtMs: atMs })
    } else if (id <= this.#knownSince || id <= (this.#cameAt.get(account) ?? 0)) {
      const ids = this.#taken.get(account)
      if (ids === undefined) this.#taken.set(account, [id])
      else ids.push(id)
      this.#due()
    }
  }

  #tellSender({ sender, recipient, messageId }: Flight, id: LogId, atMs: number): void {
    if (this.#options.isHere(sender)) this.#newsFor(sender)?.add(id, messageId, recipient, 'delivered', atMs)
    else
      void this.#attempt(sender, async () => {
        if (!(await this.#options.states.maySeeDelivery(sender, recipient))) return
        const word: Word = { id, messageId, peer: recipient, atMs }
        this.#options.tell(sender, 'delivered', JSON.stringify(word))
      })
  }

  /** What the home of a recipient says, which has looked whether the account may know. */
  delivered(account: BareJid, payload: string): void {
    const { id, messageId, peer, atMs } = JSON.parse(payload) as Word
    if (atMs !== undefined) this.#newsFor(account)?.add(id, messageId, peer, 'delivered', atMs)
  }

  /** The account has its first session in this process. */
  came(account: BareJid): void {
    this.#cameAt.set(account, this.#options.lastId())
  }

  /** Its last one has ended, or it is at home elsewhere. */
  left(account: BareJid): void {
    this.#cameAt.delete(account)
  }

  /** A peer of the account says that it has read up to this message. */
  read(account: BareJid, entry: LogEntry, atMs: number): void {
    this.#newsFor(account)?.add(entry.id, messageIdOf(parseStanza(entry.stanza)), entry.peer, 'read', atMs)
  }

  /** The account itself has read up to this entry. */
  moved(account: BareJid, peer: string, move: Move): void {
    this.#newsFor(account)?.watermarks.set(peer, move)
  }

  #newsFor(account: BareJid): News | undefined {
    if (!this.#wanting.has(account)) return undefined
    const news = this.#news.get(account) ?? new News()
    this.#news.set(account, news)
    this.#due()
    return news
  }

  /** What happens in one turn of the loop is told together. */
  #due(): void {
    if (this.#isDue) return
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      // While one turn's news are told, those of the next gather.
      if (!this.#isTelling) void this.#tellAll()
    })
  }

  async #tellAll(): Promise<void> {
    this.#isTelling = true
    while (this.#taken.size > 0 || this.#news.size > 0) {
      const taken = this.#taken
      this.#taken = new Map()
      for (const [account, ids] of taken) await this.#attempt(account, () => this.#lookUp(account, ids))
      const news = this.#news
      this.#news = new Map()
      for (const [account, each] of news) await this.#attempt(account, () => this.#tell(account, each))
    }
    this.#isTelling = false
  }

  async #attempt(account: BareJid, task: () => Promise<void>): Promise<void> {
    try {
      await task()
    } catch (error) {
      this.#options.onFailure(account, error)
    }
  }

  /** What was sent before its account wanted to be told: a phone that comes back takes many of them, one after the other. */
  async #lookUp(account: BareJid, ids: readonly LogId[]): Promise<void> {
    for (let at = 0; at < ids.length; at += MAX_CHANGES) {
      const entries = await Promise.all(ids.slice(at, at + MAX_CHANGES).map((id) => this.#options.entries.get(account, id)))
      for (const entry of entries) {
        if (entry?.takenAtMs === undefined || !entry.isText || entry.direction !== 'in' || entry.peer === account) continue
        // Peers that are no accounts are wanted by nobody.
        const sender = entry.peer as BareJid
        const flight = { sender, recipient: account, messageId: messageIdOf(parseStanza(entry.stanza)), isAwaited: true }
        this.#tellSender(flight, entry.id, entry.takenAtMs)
      }
    }
  }

  async #tell(account: BareJid, { changes, watermarks }: News): Promise<void> {
    const { isHere, states } = this.#options
    const sees = new Map<string, boolean>()
    const elements = []
    for (const [id, { messageId, peer, times }] of [...changes].sort(([a], [b]) => a - b)) {
      // The home of a peer that is not here has looked itself.
      if (times.delivered !== undefined && !sees.has(peer))
        sees.set(peer, !isHere(peer as BareJid) || (await states.maySeeDelivery(account, peer)))
      const state = stateOf(times, sees.get(peer) === true)
      if (state !== undefined) elements.push(tickElement({ id, messageId, peer, state, atMs: times[state] }))
    }
    for (const [peer, move] of watermarks) elements.push(watermarkElement(peer, move))
    const sessions = this.#wanting.get(account) ?? []
    const address: Address | undefined = [...sessions][0]?.address.bareAddress
    for (let at = 0; at < elements.length && address !== undefined; at += MAX_CHANGES) {
      const push = pushOf(address, elements.slice(at, at + MAX_CHANGES))
      for (const session of sessions) session.send(push.restamp({ to: session.address }))
    }
  }
}

/** Longer than any client's ids: who calls a message so knows it by its archive id. */
const MAX_MESSAGE_ID = 1_024

/** A text that does not keep alive the stanza that it was read from. */
const detached = (text: string | undefined): string | undefined =>
  text === undefined || text.length > MAX_MESSAGE_ID ? undefined : Buffer.from(text).toString()

const stateOf = (times: Change['times'], seesDelivery: boolean): State | undefined => {
  if (times.read !== undefined) return 'read'
  if (times.delivered !== undefined && seesDelivery) return 'delivered'
  return times.sent === undefined ? undefined : 'sent'
}
