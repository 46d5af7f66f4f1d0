import type { Address, BareJid, FullJid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import { type Handled, Inflow } from './inflow.ts'

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
  /** Handles one stanza; see `Inflow.handle`. */
  handle(session: Session, stanza: Stanza): Handled | Promise<Handled>
  /** Hook point `outbound`; gives what to write. */
  outbound(session: Session, stanza: Stanza): Stanza | undefined
  onFailure(session: Session, stanza: Stanza, error: unknown): void
}

/** One bound resource, with one ordered queue in each direction (RFC 6120 §10.1): inwards that of `Inflow`; outwards, everything passes `send`. */
export class Session extends Inflow {
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
  #hasEnded = false

  constructor(address: Address, outlet: Outlet, host: SessionHost, nowMs: number) {
    super()
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

  /** Takes a stanza from the client. */
  override receive(stanza: Stanza): void {
    if (!this.#hasEnded) super.receive(stanza)
  }

  protected handle(stanza: Stanza): Handled | Promise<Handled> {
    return this.#host.handle(this, stanza)
  }

  protected failed(stanza: Stanza, error: unknown): void {
    this.#host.onFailure(this, stanza, error)
  }

  protected pause(): void {
    this.#outlet.pause()
  }

  protected resume(): void {
    this.#outlet.resume()
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
    this.dropWaiting(dropsWaiting)
  }
}
