import type { Clock } from '#server/base/clock.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { NS_DELAY, NS_STANZA_ID } from '#stanzas/namespaces.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'
import type { Log, LogEntry, LogId } from '#storage/shapes.ts'
import { idAt, idSpan, stanzaOf } from './ledger.ts'
import { newest } from './newest.ts'
import type { Session } from './session.ts'

/** A client sends again what was not acknowledged as soon as it is back; later, the same words are said anew. */
const WINDOW_MS = 60_000
/** The latest messages to one contact, among which a repeated one must be: more than a client leaves unacknowledged. */
const RECENT = { limit: 1_000, maxBytes: 4_194_304 }
/** Contacts of one session whose messages are known; those of one beyond them are read anew. */
const MAX_CONTACTS = 100
/** Sessions of one account that one stream may follow: a client that loses its connection again and again. */
const MAX_TRAILS = 8
/** Accounts whose lost sessions are remembered; beyond it, the one that lost one longest ago is forgotten. */
const MAX_ACCOUNTS = 50_000

/** The latest messages of a session that no log keeps for its account. */
const MAX_RECENT = 32

/** Ids of so many characters are drawn at random, and not counted. */
const UNIQUE_LENGTH = 16

/** What a session has sent, as far as its client may send it again: where that is found in its account's log, and what is not found there. */
export interface Trail {
  /** `undefined`: any, since the server does not remember the session. */
  readonly resource: string | undefined
  /** Entries behind this one, and in front of that. */
  readonly after: LogId
  readonly before: LogId
  /** Of a session that is gone while something it received is on its way. */
  readonly settled: Promise<void> | undefined
  readonly recent: Recent
}

/** Fingerprints of the latest messages, the oldest of which makes room. */
class Recent {
  readonly #prints: number[] = []
  #next = 0

  add(print: number): void {
    this.#prints[this.#next] = print
    this.#next = (this.#next + 1) % MAX_RECENT
  }

  all(): readonly number[] {
    return this.#prints
  }
}

interface Lost {
  readonly trail: Trail
  readonly atMs: number
}

/** What a session that follows others has to be compared with; contacts, once they have been read. */
interface Followed {
  readonly trails: readonly Trail[]
  readonly contacts: Map<BareJid, ReadonlySet<number> | Promise<ReadonlySet<number>>>
}

/**
 * DESIGN P2: a client whose stream broke sends again what was not acknowledged, and some of that was stored before.
 *
 * Only sessions that follow such a stream are looked at, and only for a minute: those that begin within a minute of the end of a session which its client has not closed
 * (as when its resource is bound anew), of a refused resumption (XEP-0198 §5), or of the start of this process.
 * They are compared with what the lost session sent, since two devices may give two messages one id.
 */
export class Resends {
  readonly #log: Log
  readonly #clock: Clock
  readonly #startedAtMs: number
  /** What sessions sent that ended with the process before this one. */
  readonly #before: Trail
  readonly #lost = new Map<BareJid, readonly Lost[]>()
  readonly #trails = new WeakMap<Session, Trail>()
  readonly #recent = new WeakMap<Session, Recent>()
  readonly #followed = new WeakMap<Session, Followed>()

  constructor(parts: { readonly log: Log; readonly clock: Clock; readonly lastId: LogId }) {
    this.#log = parts.log
    this.#clock = parts.clock
    this.#startedAtMs = parts.clock.nowMs()
    this.#before = { resource: undefined, after: 0, before: parts.lastId + 1, settled: undefined, recent: new Recent() }
  }

  /** A session has sent a message that its account's log does not keep. */
  remember(session: Session, message: Stanza, to: Address): void {
    const { id } = message
    if (id !== undefined) this.#recentOf(session).add(shortPrintOf(message, id, to.bare))
  }

  #recentOf(session: Session): Recent {
    const recent = this.#recent.get(session) ?? new Recent()
    this.#recent.set(session, recent)
    return recent
  }

  /** A session has lost its client, which did not close it; since when it may not know what has arrived is asked for the first time. */
  lost(session: Session, unsureSinceMs?: number): void {
    const { account } = session
    const trail = this.trailOf(session, unsureSinceMs)
    // It may itself have sent again what those before it had sent, and be unsure about that.
    const isEarly = trail.after < idAt(session.connectedAtMs + WINDOW_MS)
    const inherited = isEarly ? (this.#followed.get(session)?.trails ?? []) : []
    this.#list(account, [...inherited, trail])
  }

  #list(account: BareJid, trails: readonly Trail[]): void {
    const atMs = this.#clock.nowMs()
    // A session is listed once, as it is now.
    const isListed = ({ trail }: Lost): boolean => trails.some(({ recent }) => recent === trail.recent)
    const earlier = this.#lostLately(account).filter((lost) => !isListed(lost))
    const all = [...earlier, ...trails.map((trail) => ({ trail, atMs }))]
    this.#lost.delete(account)
    this.#lost.set(account, all.slice(-MAX_TRAILS))
    this.#forgetOld()
  }

  /** What a session has sent shortly before its client became unsure, and since. */
  trailOf(session: Session, unsureSinceMs = this.#clock.nowMs()): Trail {
    const known = this.#trails.get(session)
    const after = known?.after ?? Math.max(0, idAt(unsureSinceMs - WINDOW_MS))
    const isSettled = session.handled === session.received
    const trail = {
      resource: session.resource,
      after,
      before: Number.POSITIVE_INFINITY,
      settled: isSettled ? undefined : new Promise<void>((resolve) => session.whenHandled(resolve)),
      recent: this.#recentOf(session),
    }
    this.#trails.set(session, trail)
    return trail
  }

  /** A session could not be resumed: what it has sent, if anybody remembers, may be sent again by the next one. */
  refused(account: BareJid, trail: Trail | undefined): void {
    this.#list(account, [trail ?? this.#before])
  }

  /** A session begins. */
  begins(session: Session): void {
    const trails = this.#lostLately(session.account).map(({ trail }) => trail)
    if (this.#before.before > 1 && this.#clock.nowMs() - this.#startedAtMs < WINDOW_MS)
      trails.push({ ...this.#before, after: Math.max(0, this.#before.before - idSpan(WINDOW_MS)) })
    if (trails.length === 0) return
    session.mayResend = true
    this.#followed.set(session, { trails, contacts: new Map() })
    void Promise.all(trails.map(({ settled }) => settled)).then(() => this.#endLater(session))
  }

  /** What was received within the window may wait for the disk behind what the lost session sent, and for longer. */
  #endLater(session: Session): void {
    const leftMs = session.connectedAtMs + WINDOW_MS - this.#clock.nowMs()
    this.#clock.after(Math.max(leftMs, 1_000), () =>
      session.whenHandled(() => {
        session.mayResend = false
        this.#followed.get(session)?.contacts.clear()
      }),
    )
  }

  /** Whether the ledger has this message of this session already. Without an id nothing can be known to be the same. */
  has(session: Session, message: Stanza, to: Address): boolean | Promise<boolean> {
    const followed = this.#followed.get(session)
    if (followed === undefined || !session.mayResend) return false
    const prints = printsOf(message, to.bare)
    if (prints.length === 0) return false
    const short = message.id === undefined ? Number.NaN : shortPrintOf(message, message.id, to.bare)
    const isAmong = (known: ReadonlySet<number>): boolean => known.has(short) || prints.some((each) => known.has(each))
    const known = followed.contacts.get(to.bare) ?? this.#readOnce(session.account, followed, to.bare)
    return known instanceof Promise ? known.then(isAmong) : isAmong(known)
  }

  /** Whether a message from this address is in the log of its addressee behind this entry: it was sent there before, by a node that was lost. */
  async isBehind(after: LogId, message: Stanza, from: Address, to: Address): Promise<boolean> {
    const prints = printsOf(message, to.bare)
    if (prints.length === 0) return false
    for await (const slice of newest(this.#log, to.bare, { after, peer: from.bare }, RECENT))
      for (const entry of slice) {
        const stored = stanzaOf(entry)
        if (stored.from?.jid === from.jid && printsOf(stored, to.bare).some((each) => prints.includes(each))) return true
      }
    return false
  }

  /** Whether something of the account's lost sessions is remembered that its next ones are compared with. */
  isRemembered(account: BareJid): boolean {
    return this.#lostLately(account).length > 0
  }

  /** The account was at home elsewhere, at a node that may have been lost: what its clients sent there, up to this entry, may be sent again. */
  inherited(account: BareJid, lastId: LogId): void {
    this.#list(account, [{ ...this.#before, after: Math.max(0, lastId - idSpan(WINDOW_MS)), before: lastId + 1 }])
  }

  #lostLately(account: BareJid): readonly Lost[] {
    const sinceMs = this.#clock.nowMs() - WINDOW_MS
    return this.#lost.get(account)?.filter(({ atMs }) => atMs >= sinceMs) ?? []
  }

  /** Those that lost one longest ago come first. */
  #forgetOld(): void {
    const sinceMs = this.#clock.nowMs() - WINDOW_MS
    for (const [account, lost] of this.#lost) {
      if (this.#lost.size <= MAX_ACCOUNTS && (lost.at(-1)?.atMs ?? 0) >= sinceMs) return
      this.#lost.delete(account)
    }
  }

  #readOnce(account: BareJid, { trails, contacts }: Followed, contact: BareJid): Promise<ReadonlySet<number>> {
    const reading = this.#read(account, trails, contact)
    for (const first of contacts.keys()) {
      if (contacts.size < MAX_CONTACTS) break
      contacts.delete(first)
    }
    contacts.set(contact, reading)
    reading.then(
      (known) => contacts.get(contact) === reading && contacts.set(contact, known),
      // The next message tries again.
      () => contacts.delete(contact),
    )
    return reading
  }

  /** Both accounts' entries: with some retentions and preferences only one of them keeps its own. */
  async #read(account: BareJid, trails: readonly Trail[], contact: BareJid): Promise<ReadonlySet<number>> {
    await Promise.all(trails.map(({ settled }) => settled))
    const known = new Set<number>(trails.flatMap(({ recent }) => recent.all()))
    const learn = (entry: LogEntry): void => {
      const message = stanzaOf(entry)
      const { from } = message
      const isSame = ({ resource, after, before }: Trail): boolean =>
        entry.id > after && entry.id < before && (resource === undefined || resource === from?.resourcepart)
      if (from?.bare === account && trails.some(isSame)) for (const each of printsOf(message, contact)) known.add(each)
    }
    const after = Math.min(...trails.map((trail) => trail.after))
    const learnAll = async (owner: BareJid, peer: BareJid): Promise<void> => {
      for await (const slice of newest(this.#log, owner, { after, peer }, RECENT)) slice.forEach(learn)
    }
    await Promise.all([learnAll(account, contact), contact === account ? undefined : learnAll(contact, account)])
    return known
  }
}

/**
 * What makes two stanzas the same message: an origin-id, which is made to be the only one of its kind (XEP-0359 §3.2), or, since ids of stanzas may be counted from one
 * on each stream, the id with all else but the addresses, what servers add, and the delay that a client may tell of.
 */
export const printsOf = (message: Stanza, contact: BareJid): readonly number[] => {
  const origin = message.get(NS_STANZA_ID, 'origin-id')?.attrs.id
  const prints = origin === undefined || origin === '' ? [] : [print(`${contact} ${origin}`)]
  if (message.id !== undefined) prints.push(contentPrintOf(message, contact))
  return prints
}

const contentPrintOf = (message: Stanza, contact: BareJid): number =>
  print(`${contact} ${message.restamp({ from: undefined, to: undefined, drop: isAdded }).wire}`)

/** Of ids that are no counters the id is enough, and costs every message less. */
const shortPrintOf = (message: Stanza, id: string, contact: BareJid): number =>
  id.length < UNIQUE_LENGTH ? contentPrintOf(message, contact) : print(`${contact} id ${id}`)

const isAdded = ({ ns, name }: Payload): boolean =>
  (ns === NS_DELAY && name === 'delay') || (ns === NS_STANZA_ID && name === 'stanza-id')

/** 53 bits of a text, from two multiplicative hashes: of the few messages that are compared, no two have the same by chance. */
const print = (text: string): number => {
  let high = 0x811c9dc5
  let low = 0x9e3779b9
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    high = Math.imul(high ^ code, 0x01000193)
    low = Math.imul(low ^ code, 0x85ebca6b) + (low >>> 15)
  }
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0)
}
