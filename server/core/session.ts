import type { Address, BareJid, FullJid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'

/** What carries a session's stanzas to its client: a stream, or (XEP-0198) the queue that waits for one. */
export interface Outlet {
  /** Queues a stanza, written as the session's stream wants it. `mark` names the pending entry that is cleared when the peer has it. */
  send(data: Wire, mark: LogId | undefined): void
  /** So much is queued or unacknowledged that only what the ledger does not keep may still be sent. */
  readonly isLagging: boolean
  /** Whether a client is connected at this moment. */
  readonly isAttached: boolean
  /** Stops and restarts the client's side. */
  pause(): void
  resume(): void
  /** Ends the stream with this stream error (RFC 6120 §4.9.3), or in peace. */
  close(condition: string | undefined, text?: string): void
  /** Entries sent and not known to have arrived, oldest first; what has no entry comes as its bytes. */
  untaken(): readonly { readonly mark: LogId | undefined; readonly data: Wire }[]
}

/** What a session asks of the server around it. */
export interface SessionHost {
  /** Handles one stanza; `stored`: it calls `settle` once the stanza is durable and has gone on its way. */
  handle(session: Session, stanza: Stanza): undefined | 'stored' | Promise<undefined | 'stored'>
  /** Hook point `outbound`; gives what to write. */
  outbound(session: Session, stanza: Stanza): Stanza | undefined
  onFailure(session: Session, stanza: Stanza, error: unknown): void
}

/** Past this many stanzas that wait for an earlier one, or requests for an acknowledgement, the client is not read (TCP slows it down). */
const MAX_WAITING = 64
/** Past this many messages that wait for the disk, likewise. */
const MAX_IN_FLIGHT = 512

/**
 * One bound resource, with one ordered queue in each direction (RFC 6120 §10.1).
 *
 * Inwards, stanzas are handled strictly in order. Messages may wait for the disk together: the ledger commits them in order, so their effects keep theirs;
 * anything else waits until they are through. Outwards, everything passes `send`.
 */
export class Session {
  readonly address: Address
  readonly account: BareJid
  readonly jid: FullJid
  readonly resource: string
  readonly connectedAtMs: number
  /** The last broadcast available presence; `undefined` while unavailable. */
  presence: Stanza | undefined
  /** RFC 6121 §4.7.2.3; of the last presence. */
  priority = 0
  /** While true, what the ledger keeps is read from there instead of being sent live; this and the next five are kept by core/delivery.ts. */
  isCatchingUp = false
  /** There is something to read. */
  hasMissed = false
  /** It has caught up with nothing yet: what comes now is not late. */
  isNew = false
  /** It follows one that its client has lost, and may send again what was stored (core/resends.ts). */
  mayResend = false
  /** A read is under way. */
  isReading = false
  /** Whether its client's stream consists of frames, each of which declares its namespace (RFC 7395 §3.3.3). */
  isFramed = false
  /** The device its client is on, if that has said so (XEP-0386 §4). */
  device: string | undefined
  /** Where the next read begins: entries up to here have been sent, or are not for this session. */
  cursor: LogId = 0
  /** Entries up to here are sent only if no device has taken them; of those behind it, all. */
  since: LogId = 0
  /** Typed state of modules, by slot (see `perSession` in module.ts). */
  readonly slots: unknown[] = []

  readonly #host: SessionHost
  #outlet: Outlet
  #queue: Stanza[] = []
  #isBusy = false
  #isPaused = false
  #inFlight = 0
  /** How many messages were on their way to the disk so far, and how many have arrived. */
  #stored = 0
  #settled = 0
  /** For each stanza that was done before a message in front of it: how many have to arrive before it counts. */
  #early: number[] = []
  #received = 0
  #handled = 0
  #waiters: { readonly at: number; readonly run: () => void }[] = []
  #hasEnded = false

  constructor(address: Address, outlet: Outlet, host: SessionHost, nowMs: number) {
    this.address = address
    this.account = address.bare
    this.jid = address.jid as FullJid
    this.resource = address.resourcepart
    this.connectedAtMs = nowMs
    this.#outlet = outlet
    this.#host = host
  }

  get outlet(): Outlet {
    return this.#outlet
  }

  /** Puts another outlet in place: the queue of XEP-0198 on enabling it. */
  replaceOutlet(outlet: Outlet): void {
    this.#outlet = outlet
  }

  get isAvailable(): boolean {
    return this.presence !== undefined
  }

  /** RFC 6121 §8.5.2.1.1: whether messages to the bare JID come here. */
  get isWilling(): boolean {
    return this.presence !== undefined && this.priority >= 0
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Stanzas received, and how many of these, from the first on, are completely handled: durable where they must be. */
  get received(): number {
    return this.#received
  }
  get handled(): number {
    return this.#handled
  }

  /** Takes a stanza from the client. Its `from` has been checked and stamped. */
  receive(stanza: Stanza): void {
    if (this.#hasEnded) return
    this.#received++
    if (this.#isBusy || this.#queue.length > 0) this.#queue.push(stanza)
    else this.#begin(stanza)
    this.#slow()
  }

  /** Runs when everything received so far is handled: at once when it is. */
  whenHandled(run: () => void): void {
    if (this.#handled === this.#received) return run()
    this.#wait(this.#received, run)
    this.#slow()
  }

  /** Resolves when no message of this session waits for the disk. */
  drained(): Promise<void> | undefined {
    if (this.#inFlight === 0) return undefined
    return new Promise((resolve) => this.#wait(this.#handled + this.#inFlight + this.#early.length, resolve))
  }

  /** A stanza may wait for less than what an acknowledgement waits for that was asked for earlier: who waits for least comes first. */
  #wait(at: number, run: () => void): void {
    const behind = this.#waiters.findIndex((waiter) => waiter.at > at)
    this.#waiters.splice(behind === -1 ? this.#waiters.length : behind, 0, { at, run })
  }

  /** A stored message is durable and on its way. Called once for each `stored`, in order. */
  settle(): void {
    this.#inFlight--
    this.#settled++
    let count = 1
    for (; this.#early.length > 0 && (this.#early[0] ?? 0) <= this.#settled; count++) this.#early.shift()
    this.#count(count)
    if (this.#inFlight === 0 && !this.#isBusy) this.#next()
    this.#slow()
  }

  #begin(stanza: Stanza): void {
    if (stanza.kind !== 'message' && this.#inFlight > 0) {
      this.#queue.unshift(stanza)
      return
    }
    let outcome: undefined | 'stored' | Promise<undefined | 'stored'>
    try {
      outcome = this.#host.handle(this, stanza)
    } catch (error) {
      this.#host.onFailure(this, stanza, error)
    }
    if (outcome === undefined) this.#complete()
    else if (outcome === 'stored') this.#store()
    else this.#await(stanza, outcome)
  }

  #await(stanza: Stanza, outcome: Promise<undefined | 'stored'>): void {
    this.#isBusy = true
    outcome
      .catch((error: unknown): undefined => this.#host.onFailure(this, stanza, error) as undefined)
      .then((settled) => {
        this.#isBusy = false
        if (settled === 'stored') this.#store()
        else this.#complete()
        this.#next()
        this.#slow()
      })
      .catch((error: unknown) => this.#host.onFailure(this, stanza, error))
  }

  #next(): void {
    while (!this.#isBusy) {
      const stanza = this.#queue[0]
      if (stanza === undefined || (stanza.kind !== 'message' && this.#inFlight > 0)) return
      this.#queue.shift()
      this.#begin(stanza)
    }
  }

  #store(): void {
    this.#inFlight++
    this.#stored++
  }

  /** DESIGN P1: what is done at once counts only when the messages in front of it are durable. */
  #complete(): void {
    if (this.#inFlight === 0) this.#count(1)
    else this.#early.push(this.#stored)
  }

  #count(stanzas: number): void {
    this.#handled += stanzas
    while (this.#waiters.length > 0) {
      const waiter = this.#waiters[0]
      if (waiter === undefined || waiter.at > this.#handled) return
      this.#waiters.shift()
      waiter.run()
    }
  }

  #slow(): void {
    const isFull =
      this.#queue.length > MAX_WAITING ||
      this.#waiters.length > MAX_WAITING ||
      this.#inFlight + this.#early.length > MAX_IN_FLIGHT
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.#outlet.pause()
    else this.#outlet.resume()
  }

  /** Sends a stanza to the client, through the hook point `outbound`. `mark`: the pending entry that it delivers. */
  send(stanza: Stanza, mark?: LogId): void {
    if (this.#hasEnded) return
    const last = this.#host.outbound(this, stanza)
    if (last !== undefined) this.write(last, mark)
  }

  /** Writes a stanza as it is; for those who held it back at `outbound`. */
  write(stanza: Stanza, mark?: LogId): void {
    this.#outlet.send(this.isFramed ? stanza.selfContained : stanza.wire, mark)
  }

  /**
   * Marks the session as gone; whoever ends it tells the rest of the server. Messages it has received still go on their way, up to
   * the first stanza that would have to be answered; with `dropsWaiting` nothing more of it is handled.
   */
  end(dropsWaiting = false): void {
    this.#hasEnded = true
    const firstDropped = dropsWaiting ? 0 : this.#queue.findIndex((stanza) => stanza.kind !== 'message')
    if (firstDropped >= 0) this.#received -= this.#queue.splice(firstDropped).length
    // Who waits for what will not be handled waits no longer.
    for (const { run } of this.#waiters.splice(this.#waiters.findLastIndex(({ at }) => at <= this.#received) + 1)) run()
  }
}
