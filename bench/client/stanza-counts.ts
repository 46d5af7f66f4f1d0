/**
 * A client's counts of one session (XEP-0198 §4), over all its connections: how many stanzas it has heard, and which of those that it sent
 * the server has not said to have handled.
 */
export class StanzaCounts<T> {
  #heard = 0
  #handled = 0
  #unacked: T[] = []

  /** What the client says as `h`. */
  get heard(): number {
    return this.#heard
  }

  /** How many stanzas were sent in this session, or wait to be. */
  get sent(): number {
    return this.#handled + this.#unacked.length
  }

  /** What is not acknowledged, in the order in which it was sent. */
  get unacked(): readonly T[] {
    return this.#unacked
  }

  hear(): void {
    this.#heard++
  }

  send(stanza: T): void {
    this.#unacked.push(stanza)
  }

  /** Takes the server's `h`; answers with what it covers now and did not before. */
  acknowledge(handled: number): readonly T[] {
    if (handled > this.sent) throw new Error(`the server has handled ${handled} stanzas of ${this.sent} (XEP-0198 §4)`)
    const covered = this.#unacked.splice(0, Math.max(0, handled - this.#handled))
    this.#handled += covered.length
    return covered
  }

  /** Begins a new session; answers with what is to be sent again in it. */
  restart(): readonly T[] {
    const again = this.#unacked
    this.#unacked = []
    this.#heard = 0
    this.#handled = 0
    return again
  }
}
