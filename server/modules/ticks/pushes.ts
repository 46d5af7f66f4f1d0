import type { Clock } from '#server/base/clock.ts'
import { BoundedCache } from '#server/core/bounded-cache.ts'
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

/** A message to an account that is at home here, which no device has taken; of accounts here only those that want to be told have any. */
interface Flight {
  readonly sender: BareJid
  readonly recipient: BareJid
  readonly messageId: string | undefined
}

/** Says of a sender elsewhere that it does not want to know, and stands for its messages in flight: if it is over when they are taken, they are looked up. */
interface Hush {
  readonly sender: BareJid
}

/** What the home of a recipient tells the sender's, a few at once: a device has taken a message. */
interface Word extends Omit<Flight, 'sender'> {
  readonly id: LogId
  readonly atMs: number
}

/** How long the home of a recipient tells a sender nothing that has said that it does not want to know. */
const HUSHED = { maxEntries: 10_000, maxAgeMs: 60_000 }
/** Recipients that one account has told so, and tells when it wants to know. */
const MAX_HUSHED = 1_000

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
  /** Tells the home of a sender what a device has taken, asks there whether it wants to know, or tells that of a recipient whether a sender does. */
  readonly tell: (account: BareJid, what: 'delivered' | 'enquiry' | 'hush' | 'unhush', word: string) => void
  readonly clock: Clock
  readonly onFailure: (account: BareJid, error: unknown) => void
}

/**
 * Tells the sessions that want to know what becomes of their account's messages. While there is none, nothing is done at all (`onWanted`);
 * while there are some, a message of an account without one costs a look-up in a map.
 */
export class Pushes {
  readonly #options: PushesOptions
  readonly #wanting = new Map<BareJid, Set<Session>>()
  readonly #inFlight = new Map<LogId, Flight | Hush>()
  /** Of what is newer than this, `#inFlight` knows all that matters. */
  #knownSince: LogId = 0
  /** Accounts that have come to this process: of messages that are older, senders elsewhere were not noted here. */
  readonly #cameAt = new Map<BareJid, LogId>()
  /** Entries taken of which the sender is yet to be looked up, by recipient. */
  #taken = new Map<BareJid, LogId[]>()
  #news = new Map<BareJid, News>()
  /** What the homes of senders are yet to be told. */
  #words = new Map<BareJid, Word[]>()
  #isDue = false
  #isTelling = false

  /** Senders elsewhere that do not want to know. */
  readonly #hushed: BoundedCache<BareJid, Hush>
  /** To whose homes accounts here have said that. */
  readonly #toldToHush = new Map<BareJid, Set<BareJid>>()

  constructor(options: PushesOptions) {
    this.#options = options
    this.#hushed = new BoundedCache(options.clock, HUSHED)
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
    this.#unhush(session.account)
  }

  #unhush(account: BareJid): void {
    for (const peer of this.#toldToHush.get(account) ?? []) this.#options.tell(peer, 'unhush', account)
    this.#toldToHush.delete(account)
  }

  isWanted(session: Session): boolean {
    return this.#wanting.get(session.account)?.has(session) === true
  }

  wantsNoMore(session: Session): void {
    const sessions = this.#wanting.get(session.account)
    if (sessions?.delete(session) !== true || sessions.size > 0) return
    this.#wanting.delete(session.account)
    if (this.#wanting.size > 0) return
    for (const [id, { sender }] of this.#inFlight) if (this.#options.isHere(sender)) this.#inFlight.delete(id)
    this.#options.onWanted(false)
  }

  /** A message of an account that is at home here was committed. */
  sent(id: LogId, message: Stanza, from: BareJid, to: BareJid, atMs: number): void {
    const news = this.#newsFor(from)
    if (news === undefined) return
    // Whoever writes to himself has read it.
    news.add(id, messageIdOf(message), to, from === to ? 'read' : 'sent', atMs)
    if (from !== to && this.#options.isHere(to)) this.#note(id, message, from, to)
  }

  /** A message from an account that is at home elsewhere was committed; whether that wants to be told is known there. */
  came(id: LogId, message: Stanza, from: BareJid, to: BareJid): void {
    const hush = this.#hushed.get(from)
    if (hush === undefined) this.#note(id, message, from, to)
    else this.#follow(id, hush)
  }

  #note(id: LogId, message: Stanza, sender: BareJid, recipient: BareJid): void {
    this.#follow(id, { sender, recipient, messageId: detached(messageIdOf(message)) })
  }

  #follow(id: LogId, flight: Flight | Hush): void {
    this.#inFlight.set(id, flight)
    if (this.#inFlight.size <= MAX_IN_FLIGHT) return
    for (const oldest of this.#inFlight.keys()) {
      this.#inFlight.delete(oldest)
      this.#knownSince = Math.max(this.#knownSince, oldest)
      return
    }
  }

  /** A device of the account has taken an entry. */
  taken(account: BareJid, id: LogId, atMs: number): void {
    const flight = this.#inFlight.get(id)
    if (flight !== undefined && isTo(flight, account)) {
      this.#inFlight.delete(id)
      if ('recipient' in flight) this.#tellSender(flight, id, atMs)
      else if (this.#wanting.has(flight.sender) || this.#hushed.get(flight.sender) !== flight) this.#seek(account, id)
    } else if (id <= this.#knownSince || id <= (this.#cameAt.get(account) ?? 0)) this.#seek(account, id)
  }

  #seek(account: BareJid, id: LogId): void {
    const ids = this.#taken.get(account)
    if (ids === undefined) this.#taken.set(account, [id])
    else ids.push(id)
    this.#due()
  }

  #tellSender({ sender, recipient, messageId }: Flight, id: LogId, atMs: number): void {
    if (this.#options.isHere(sender)) this.#newsFor(sender)?.add(id, messageId, recipient, 'delivered', atMs)
    else if (this.#hushed.get(sender) === undefined) {
      const words = this.#words.get(sender)
      const word: Word = { id, messageId, recipient, atMs }
      if (words === undefined) this.#words.set(sender, [word])
      else words.push(word)
      this.#due()
    }
  }

  async #tellAway(sender: BareJid, words: readonly Word[]): Promise<void> {
    const { states, tell } = this.#options
    let unseen: BareJid | undefined
    for (const [recipient, each] of Map.groupBy(words, (word) => word.recipient))
      if (await states.maySeeDelivery(sender, recipient)) tell(sender, 'delivered', JSON.stringify(each))
      else unseen = recipient
    // Who may not know is asked, so that this is not found out for each message of who does not want to.
    if (unseen !== undefined && sender.includes('@')) tell(sender, 'enquiry', unseen)
  }

  /** What the home of a recipient says, which has looked whether the account may know. */
  delivered(account: BareJid, payload: string): void {
    const words = JSON.parse(payload) as readonly Word[]
    const news = this.#newsFor(account)
    for (const { id, messageId, recipient, atMs } of words) news?.add(id, messageId, recipient, 'delivered', atMs)
    const recipient = words[0]?.recipient
    if (news === undefined && recipient !== undefined) this.#hush(account, recipient)
  }

  /** The home of a recipient asks whether the account wants to know. */
  enquired(account: BareJid, recipient: BareJid): void {
    if (!this.#wanting.has(account)) this.#hush(account, recipient)
  }

  #hush(account: BareJid, recipient: BareJid): void {
    const told = this.#toldToHush.get(account) ?? new Set()
    if (told.size < MAX_HUSHED) this.#toldToHush.set(account, told.add(recipient))
    this.#options.tell(recipient, 'hush', account)
  }

  /** A sender elsewhere does not want to know, or does again. */
  hush(sender: BareJid, isHushed: boolean): void {
    if (!isHushed) this.#hushed.delete(sender)
    else if (this.#hushed.get(sender) === undefined) this.#hushed.set(sender, { sender })
  }

  /** The account has its first session in this process. */
  arrived(account: BareJid): void {
    this.#cameAt.set(account, this.#options.lastId())
  }

  /** Its last one has ended. */
  ended(account: BareJid): void {
    this.#cameAt.delete(account)
  }

  /** It is at home elsewhere, or nowhere: whether it wants to know is for others to say. */
  left(account: BareJid): void {
    this.ended(account)
    this.#unhush(account)
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
    while (this.#taken.size > 0 || this.#news.size > 0 || this.#words.size > 0) {
      const taken = this.#taken
      this.#taken = new Map()
      for (const [account, ids] of taken) await this.#attempt(account, () => this.#lookUp(account, ids))
      const words = this.#words
      this.#words = new Map()
      for (const [sender, each] of words) await this.#attempt(sender, () => this.#tellAway(sender, each))
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
        const flight = { sender, recipient: account, messageId: messageIdOf(parseStanza(entry.stanza)) }
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

const isTo = (flight: Flight | Hush, account: BareJid): boolean =>
  'recipient' in flight ? flight.recipient === account : flight.sender !== account

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
