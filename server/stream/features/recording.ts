import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Carried } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Expiring, LogId } from '#storage/shapes.ts'
import type { ManagedOutlet } from './managed-outlet.ts'

/** What another process needs to go on with a session whose process was lost. */
export interface ResumeRecord {
  readonly account: BareJid
  readonly resource: string
  readonly device: string | undefined
  /** The `h` of what was handled of the client's. */
  readonly handled: number
  /** The client's last `h`, and what was sent since: the id of an entry, or the stanza itself where it has none. */
  readonly acked: number
  readonly sent: readonly (LogId | string)[]
  /** Entries that were acknowledged lately: their marks may not be off yet. */
  readonly taken: readonly LogId[]
  /** The last broadcast presence, if it is available. */
  readonly presence: string | undefined
  /** What modules carry over. */
  readonly carried: Readonly<Record<string, string>>
}

export interface RecordsOptions {
  readonly storage: Expiring<ResumeRecord>
  readonly clock: Clock
  readonly log: Logger
  /** By module. */
  readonly carried: ReadonlyMap<string, Carried>
}

/** Records are written again before they expire, and outlive what they are for by this much at most. */
const LIFE_MS = 86_400_000
const REFRESH_MS = LIFE_MS / 2
/** How long after a record could not be written it is tried again. */
const RETRY_MS = 1_000
/** How long the client waits for the store. What it then hears without a record is no record's: if this process is lost, too, it may come again. */
const PATIENCE_MS = 2_000
/** Entries whose marks may not be off: more than are acknowledged between two writes. */
const MAX_TAKEN = 1_000

/** Records of sessions that may be resumed, outside of this process (XEP-0198 §5 over the death of a node). */
export class Records {
  /** Records that were not written in time or at all, so that clients were sent what no record tells of. */
  readonly counts = { late: 0 }
  readonly #options: RecordingOptions

  constructor(options: RecordsOptions) {
    this.#options = { ...options, onLate: () => this.counts.late++ }
  }

  /** Begins to keep the record of a session; its stanzas go to the client when the record that tells of them is written. */
  keep(token: string, session: Session, outlet: ManagedOutlet, receivedBefore: number): Recording {
    return new Recording(this.#options, token, session, outlet, receivedBefore)
  }

  look(token: string): Promise<ResumeRecord | undefined> {
    return this.#options.storage.get(token)
  }

  /** Takes the record away, for the one who goes on with the session. */
  take(token: string): Promise<ResumeRecord | undefined> {
    return this.#options.storage.take(token)
  }

  /** Gives modules back what they knew of the session. */
  restore(session: Session, { carried }: ResumeRecord): void {
    for (const [module, saved] of Object.entries(carried)) this.#options.carried.get(module)?.restore(session, saved)
  }
}

interface RecordingOptions extends RecordsOptions {
  readonly onLate: () => void
}

/** The record of one session. */
export class Recording {
  readonly #options: RecordingOptions
  readonly #token: string
  readonly #session: Session
  readonly #outlet: ManagedOutlet
  readonly #receivedBefore: number
  #isDue = false
  #isWriting = false
  #hasEnded = false
  #isKept = false
  #waiting: (() => void)[] = []
  #writtenAtMs = Number.NEGATIVE_INFINITY
  #taken: LogId[] = []
  #retry: Timer | undefined
  #isLate = false

  constructor(options: RecordingOptions, token: string, session: Session, outlet: ManagedOutlet, receivedBefore: number) {
    this.#options = options
    this.#token = token
    this.#session = session
    this.#outlet = outlet
    this.#receivedBefore = receivedBefore
  }

  /** Whether the store does not answer, so that nobody waits for the record. */
  get isLate(): boolean {
    return this.#isLate
  }

  /** Something has changed; `run` is called when a record that tells of it is written. */
  changed(run?: () => void): void {
    if (this.#hasEnded) return
    if (run !== undefined) this.#waiting.push(run)
    if (this.#isDue) return
    this.#isDue = true
    if (!this.#isWriting) setImmediate(() => this.#write())
  }

  /** The client has taken an entry. */
  taken(mark: LogId): void {
    this.#taken.push(mark)
    if (this.#taken.length > MAX_TAKEN) this.#taken = this.#taken.slice(-MAX_TAKEN / 2)
  }

  /** Writes again what would expire. */
  refresh(): void {
    if (this.#options.clock.nowMs() - this.#writtenAtMs > REFRESH_MS) this.changed()
  }

  /** The session is over, or another process goes on with it (`isKept`). */
  end(isKept = false): void {
    this.#hasEnded = true
    this.#isKept = isKept
    this.#retry?.cancel()
    this.#waiting = []
    if (!isKept && !this.#isWriting) this.#options.storage.delete(this.#token).catch((error: unknown) => this.#failed(error))
  }

  #write(): void {
    if (this.#isWriting || this.#hasEnded || !this.#isDue) return
    this.#isDue = false
    this.#isWriting = true
    const waiting = this.#waiting
    this.#waiting = []
    const { clock, storage } = this.#options
    const nowMs = clock.nowMs()
    const letGo = this.#outlet.holds()
    const late = clock.after(PATIENCE_MS, () => this.#isLateNow())
    storage.put(this.#token, this.#record(), nowMs + LIFE_MS).then(
      () => {
        late.cancel()
        this.#isWriting = false
        if (!this.#isLate) letGo()
        this.#isLate = false
        this.#writtenAtMs = nowMs
        for (const run of waiting) run()
        if (this.#hasEnded) this.end(this.#isKept)
        else this.#write()
      },
      (error: unknown) => {
        late.cancel()
        this.#isWriting = false
        this.#isLateNow()
        this.#waiting = [...waiting, ...this.#waiting]
        this.#isDue = true
        this.#failed(error)
        this.#retry = clock.after(RETRY_MS, () => this.#write())
      },
    )
  }

  #isLateNow(): void {
    if (!this.#isLate) this.#options.onLate()
    this.#isLate = true
    this.#outlet.release(Number.POSITIVE_INFINITY)
  }

  #failed(error: unknown): void {
    this.#options.log.warn('session-not-recorded', { jid: this.#session.jid, error })
  }

  #record(): ResumeRecord {
    const { account, resource, device, handled, presence } = this.#session
    const carried: Record<string, string> = {}
    for (const [module, { save }] of this.#options.carried) {
      const saved = save(this.#session)
      if (saved !== undefined) carried[module] = saved
    }
    return {
      account,
      resource,
      device,
      handled: Math.max(0, handled - this.#receivedBefore),
      acked: this.#outlet.acked,
      sent: this.#outlet.unacked().map(({ mark, data }) => mark ?? data),
      taken: this.#taken,
      presence: presence?.wire,
      carried,
    }
  }
}
