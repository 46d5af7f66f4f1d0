import type { Address, BareJid } from '#stanzas/jid.ts'
import type { Session } from './session.ts'

const NONE: readonly Session[] = []

/** The registry of every bound session of this process, by account. */
export class Sessions {
  readonly #byAccount = new Map<BareJid, Session[]>()
  #count = 0

  get count(): number {
    return this.#count
  }

  /** All sessions of an account, in the order they were bound. The array is not changed while it is read. */
  of(account: BareJid): readonly Session[] {
    return this.#byAccount.get(account) ?? NONE
  }

  /** The session bound to this full JID. */
  get(address: Address): Session | undefined {
    for (const session of this.of(address.bare)) if (session.resource === address.resourcepart) return session
    return undefined
  }

  /** Those that sent available presence (RFC 6121 §4.2). */
  available(account: BareJid): readonly Session[] {
    return this.of(account).filter((session) => session.isAvailable)
  }

  /** All sessions of the process. */
  *all(): Iterable<Session> {
    for (const sessions of this.#byAccount.values()) yield* sessions
  }

  add(session: Session): void {
    this.#byAccount.set(session.account, [...this.of(session.account), session])
    this.#count++
  }

  remove(session: Session): void {
    const left = this.of(session.account).filter((other) => other !== session)
    if (left.length === this.of(session.account).length) return
    this.#count--
    if (left.length === 0) this.#byAccount.delete(session.account)
    else this.#byAccount.set(session.account, left)
  }
}
