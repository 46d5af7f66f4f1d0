import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { logIdToText } from '#stanzas/stanza-id.ts'
import type { Documents, Log, LogEntry, LogId } from '#storage/shapes.ts'

/** XEP-0466 §11.1 */
export const NS_EPHEMERAL = 'urn:xmpp:ephemeral:0'

/** All timers have one owner, so that they are in the order in which they are due. */
const OWNER = 'due'
/** Messages that are removed in one step; between two steps the store belongs to others. */
const STEP = 50
const PAUSE_MS = 50
/** After a failure of the store. */
const RETRY_MS = 30_000
/** Timers of the clock are no longer than this. */
const MAX_WAIT_MS = 86_400_000

/** What a process has added that was lost since is found by the others after this. */
const MAX_REST_MS = 3_600_000

/** Enough for every time that a timer can reach. */
const TIME_DIGITS = 16

/** A message whose time will be over. */
export interface Ending {
  readonly id: LogId
  /** Who has it. */
  readonly owners: readonly BareJid[]
}

/** What endings are applied to. */
export type Entries = Pick<Log, 'get' | 'delete' | 'replace'>

/** The timer of a message in milliseconds (XEP-0466 §3.2: xs:unsignedInt, in seconds); `undefined` when it has none. */
export const timerOf = (message: Stanza): number | undefined => {
  const written = message.get(NS_EPHEMERAL, 'ephemeral')?.attrs.timer ?? ''
  const seconds = /^\d{1,10}$/.test(written) ? Number(written) : 0
  // A message that is over at once would reach nobody.
  return seconds === 0 || seconds > 0xffff_ffff ? undefined : seconds * 1000
}

/** Removes ephemeral messages when their time is over, also when that was while the server did not run. */
export class Endings {
  readonly #store: Documents<Ending>
  readonly #entries: Entries
  readonly #clock: Clock
  readonly #log: Logger
  readonly #isAlone: boolean
  #timer: Timer | undefined
  #wakesAtMs = Number.POSITIVE_INFINITY
  #isAtWork = false
  /** The first of those that came while others were ended. */
  #firstAddedMs = Number.POSITIVE_INFINITY
  #hasStopped = false

  constructor(parts: {
    readonly store: Documents<Ending>
    readonly entries: Entries
    readonly clock: Clock
    readonly log: Logger
    /** Whether no other process adds endings. */
    readonly isAlone: boolean
  }) {
    this.#store = parts.store
    this.#entries = parts.entries
    this.#clock = parts.clock
    this.#log = parts.log
    this.#isAlone = parts.isAlone
  }

  /** Begins with what is due by now. */
  start(): void {
    this.#wake(0)
  }

  stop(): void {
    this.#hasStopped = true
    this.#timer?.cancel()
  }

  /** Keeps in mind that a message ends. */
  async add(ending: Ending, dueMs: number): Promise<void> {
    await this.#store.put(OWNER, `${String(dueMs).padStart(TIME_DIGITS, '0')} ${logIdToText(ending.id)}`, ending)
    if (this.#isAtWork) this.#firstAddedMs = Math.min(this.#firstAddedMs, dueMs)
    else if (dueMs < this.#wakesAtMs) this.#wake(dueMs - this.#clock.nowMs())
  }

  #wake(inMs: number): void {
    if (this.#hasStopped) return
    this.#timer?.cancel()
    const waitMs = Math.min(Math.max(inMs, 0), MAX_WAIT_MS)
    this.#wakesAtMs = this.#clock.nowMs() + waitMs
    this.#timer = this.#clock.after(waitMs, () => {
      this.#isAtWork = true
      this.#step()
        .catch((error: unknown) => {
          this.#log.warn('ephemeral-not-removed', { error })
          return RETRY_MS
        })
        .then((nextMs) => this.#rest(nextMs))
        .catch(() => undefined)
    })
  }

  #rest(forMs: number): void {
    const restMs = this.#isAlone ? forMs : Math.min(forMs, MAX_REST_MS)
    const untilMs = Math.min(this.#clock.nowMs() + restMs, this.#firstAddedMs)
    this.#isAtWork = false
    this.#wakesAtMs = Number.POSITIVE_INFINITY
    this.#firstAddedMs = Number.POSITIVE_INFINITY
    if (untilMs !== Number.POSITIVE_INFINITY) this.#wake(untilMs - this.#clock.nowMs())
  }

  /** Ends some that are due; tells how long to rest until there is more to do. */
  async #step(): Promise<number> {
    const first = await this.#store.list(OWNER, { limit: STEP })
    const nowMs = this.#clock.nowMs()
    const due = first.filter(({ key }) => dueAt(key) <= nowMs)
    // All at once, so that the store writes them together.
    await Promise.all(due.map(({ value }) => this.#end(value)))
    if (due.length > 0)
      await this.#store.putAll(
        OWNER,
        due.map(({ key }) => ({ key, value: undefined })),
      )
    const next = first[due.length]
    if (next !== undefined) return dueAt(next.key) - nowMs
    return due.length === STEP ? PAUSE_MS : Number.POSITIVE_INFINITY
  }

  async #end({ id, owners }: Ending): Promise<void> {
    let seen: LogEntry | undefined
    for (const owner of owners) {
      const entry = await this.#entries.get(owner, id)
      // What no device has taken has not been seen either.
      if (entry?.isPending === true) await this.#entries.delete(owner, [id])
      else if (entry !== undefined) seen = entry
    }
    // XEP-0313 §3.2: an archive has no holes, so that clients find their place in it. What is left says that there was a message, and that it was ephemeral.
    if (seen !== undefined) await this.#entries.replace(seen.owner, id, withoutContent(seen))
  }
}

const dueAt = (key: string): number => Number(key.slice(0, TIME_DIGITS))

const withoutContent = ({ stanza }: LogEntry) => parseStanza(stanza).restamp({ drop: ({ ns }) => ns !== NS_EPHEMERAL }).wire
