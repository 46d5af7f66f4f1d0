import type { Session } from '#server/core/session.ts'
import type { BareJid } from '#stanzas/jid.ts'

/** Accounts that one session may be a guest of; presence allows more, but nobody wants events of so many strangers. */
const MAX_HOSTS = 100

const NOBODY: ReadonlySet<Session> = new Set()

/** Who told an account of its presence by name (RFC 6121 §4.6), so that it shares its presence though it is no contact. */
export class Guests {
  readonly #byHost = new Map<BareJid, Set<Session>>()
  readonly #hostsOf = new Map<Session, Set<BareJid>>()

  of(host: BareJid): ReadonlySet<Session> {
    return this.#byHost.get(host) ?? NOBODY
  }

  /** Whether this is new. */
  add(host: BareJid, session: Session): boolean {
    const hosts = this.#hostsOf.get(session) ?? new Set()
    if (hosts.has(host) || hosts.size >= MAX_HOSTS) return false
    this.#hostsOf.set(session, hosts.add(host))
    this.#byHost.set(host, (this.#byHost.get(host) ?? new Set()).add(session))
    return true
  }

  remove(host: BareJid, session: Session): void {
    const guests = this.#byHost.get(host)
    if (guests?.delete(session) === true && guests.size === 0) this.#byHost.delete(host)
    const hosts = this.#hostsOf.get(session)
    if (hosts?.delete(host) === true && hosts.size === 0) this.#hostsOf.delete(session)
  }

  /** The session is unavailable to everybody now. */
  leave(session: Session): void {
    for (const host of [...(this.#hostsOf.get(session) ?? [])]) this.remove(host, session)
  }
}
