import type { Stanza } from '#stanzas/stanza.ts'
import type { StanzaError } from '#stanzas/stanza-error.ts'
import type { LogId } from '#storage/shapes.ts'

/** What became of a stanza: it is done, or `stored`: it counts when its ticket is settled. */
export type Handled = undefined | 'stored'

/** Past this many stanzas that wait for an earlier one, or requests for an acknowledgement, the sender is not read (TCP slows it down). */
const MAX_WAITING = 64
/** Past this many messages that wait for the disk, likewise. */
const MAX_IN_FLIGHT = 512
/** Requests that may be under way together. */
const MAX_TOGETHER = 16

/**
 * What one sender has sent, in order (RFC 6120 §10.1).
 *
 * Stanzas are handled strictly one after the other. Messages may wait for the disk, or for another node, together: the ledger commits them in order, so their effects keep
 * theirs; anything else waits until they are through, but for requests whose handler keeps their order itself (`letFollow`).
 */
export abstract class Inflow {
  #queue: Stanza[] = []
  #isBusy = false
  #isPaused = false
  #isBeginning = false
  /** Which stanzas need not wait for the request that is beginning, and for those that are under way. */
  #offered: ((stanza: Stanza) => boolean) | undefined
  #follows: ((stanza: Stanza) => boolean) | undefined
  /** How many messages were on their way to the disk so far, and how many of these, from the first on, have arrived. */
  #tickets = 0
  #settled = 0
  /** Those that have arrived before one in front of them. */
  #ahead: Set<number> | undefined
  /** For each stanza that was done before a message in front of it: how many have to arrive before it counts. */
  #early: number[] = []
  #received = 0
  #handled = 0
  #waiters: { readonly at: number; readonly run: () => void }[] = []

  /** Handles one stanza; `stored`: a ticket was taken for it, which is settled when the stanza is durable and has gone on its way. */
  protected abstract handle(stanza: Stanza): Handled | Promise<Handled>
  protected abstract failed(stanza: Stanza, error: unknown): void
  /** Stops and restarts the sender. */
  protected abstract pause(): void
  protected abstract resume(): void

  /** Stanzas received, and how many of these, from the first on, are completely handled: durable where they must be. */
  get received(): number {
    return this.#received
  }
  get handled(): number {
    return this.#handled
  }

  /** Whether something that was received has no place yet: it waits for its turn, or its handler waits for something. */
  get isBusy(): boolean {
    return this.#isBusy || this.#queue.length > 0
  }

  /** Takes a stanza; its `from` has been checked and stamped. */
  receive(stanza: Stanza): void {
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

  /** Resolves when no message waits for the disk. */
  drained(): Promise<void> | undefined {
    if (this.#inFlight === 0) return undefined
    return new Promise((resolve) => this.#wait(this.#handled + this.#inFlight + this.#early.length, resolve))
  }

  /** The stanza that is being handled is on its way to the disk: what it gives is to be settled, once. */
  ticket(): number {
    return ++this.#tickets
  }

  /** A message is durable and on its way, or refused. What the second and third say of it is for senders on other nodes. */
  settle(ticket: number, _id?: LogId, _refusal?: StanzaError): void {
    if (ticket !== this.#settled + 1) {
      this.#ahead ??= new Set()
      this.#ahead.add(ticket)
      return
    }
    const before = this.#settled
    this.#settled++
    while (this.#ahead?.delete(this.#settled + 1) === true) this.#settled++
    let count = this.#settled - before
    for (; this.#early.length > 0 && (this.#early[0] ?? 0) <= this.#settled; count++) this.#early.shift()
    this.#count(count)
    if (this.#inFlight === 0) {
      this.#follows = undefined
      if (!this.#isBusy) this.#next()
    }
    this.#slow()
  }

  /**
   * Called by a handler that carries out requests in the order they came, before it waits for anything: those for which `follows` is true need not wait
   * until this one is answered. Everything else does.
   */
  letFollow(follows: (stanza: Stanza) => boolean): void {
    if (this.#isBeginning) this.#offered = follows
  }

  /** Drops what waits, all of it or from the first stanza on that would have to be answered. */
  protected dropWaiting(all: boolean): void {
    const first = all ? 0 : this.#queue.findIndex((stanza) => stanza.kind !== 'message')
    if (first >= 0) this.#received -= this.#queue.splice(first).length
    // Who waits for what will not be handled waits no longer.
    for (const { run } of this.#waiters.splice(this.#waiters.findLastIndex(({ at }) => at <= this.#received) + 1)) run()
  }

  get #inFlight(): number {
    return this.#tickets - this.#settled
  }

  /** A stanza may wait for less than what an acknowledgement waits for that was asked for earlier: who waits for least comes first. */
  #wait(at: number, run: () => void): void {
    const behind = this.#waiters.findIndex((waiter) => waiter.at > at)
    this.#waiters.splice(behind === -1 ? this.#waiters.length : behind, 0, { at, run })
  }

  #mustWait(stanza: Stanza): boolean {
    if (this.#inFlight === 0) return false
    if (this.#follows === undefined) return stanza.kind !== 'message'
    return this.#inFlight >= MAX_TOGETHER || !this.#follows(stanza)
  }

  #begin(stanza: Stanza): void {
    if (this.#mustWait(stanza)) {
      this.#queue.unshift(stanza)
      return
    }
    this.#isBeginning = true
    let outcome: Handled | Promise<Handled>
    try {
      outcome = this.handle(stanza)
    } catch (error) {
      this.failed(stanza, error)
    }
    this.#isBeginning = false
    const follows = this.#offered
    this.#offered = undefined
    if (outcome === undefined) this.#complete()
    else if (outcome === 'stored') return
    else if (follows === undefined) this.#await(stanza, outcome)
    else this.#awaitTogether(stanza, outcome, follows)
  }

  #await(stanza: Stanza, outcome: Promise<Handled>): void {
    this.#isBusy = true
    outcome
      .catch((error: unknown): undefined => this.failed(stanza, error) as undefined)
      .then((settled) => {
        this.#isBusy = false
        if (settled !== 'stored') this.#complete()
        this.#next()
        this.#slow()
      })
      .catch((error: unknown) => this.failed(stanza, error))
  }

  #awaitTogether(stanza: Stanza, outcome: Promise<Handled>, follows: (stanza: Stanza) => boolean): void {
    this.#follows = follows
    const ticket = this.ticket()
    outcome
      .catch((error: unknown): undefined => this.failed(stanza, error) as undefined)
      .then(() => this.settle(ticket))
      .catch((error: unknown) => this.failed(stanza, error))
  }

  #next(): void {
    while (!this.#isBusy) {
      const stanza = this.#queue[0]
      if (stanza === undefined || this.#mustWait(stanza)) return
      this.#queue.shift()
      this.#begin(stanza)
    }
  }

  /** DESIGN P1: what is done at once counts only when the messages in front of it are durable. */
  #complete(): void {
    if (this.#inFlight === 0) this.#count(1)
    else this.#early.push(this.#tickets)
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
    if (isFull) this.pause()
    else this.resume()
  }
}
