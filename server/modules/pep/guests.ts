import type { Session } from '#server/core/session.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'

/** Accounts that one session may be a guest of; presence allows more, but nobody wants events of so many strangers. */
const MAX_HOSTS = 100
/** Guests of one account; those who came first are forgotten first. */
const MAX_GUESTS = 1_000

const NOBODY: ReadonlyMap<string, Address> = new Map()

/** Who told an account of its presence by name (RFC 6121 §4.6), so that it shares its presence though it is no contact; known at the home of that account. */
export class Guests {
  readonly #byHost = new Map<BareJid, Map<string, Address>>()

  of(host: BareJid): ReadonlyMap<string, Address> {
    return this.#byHost.get(host) ?? NOBODY
  }

  add(host: BareJid, guest: Address): void {
    const guests = this.#byHost.get(host) ?? new Map<string, Address>()
    this.#byHost.set(host, guests.set(guest.jid, guest))
    if (guests.size <= MAX_GUESTS) return
    for (const oldest of guests.keys()) {
      guests.delete(oldest)
      return
    }
  }

  remove(host: BareJid, guest: string): void {
    const guests = this.#byHost.get(host)
    if (guests?.delete(guest) === true && guests.size === 0) this.#byHost.delete(host)
  }

  /** The account is not at home here any more. */
  forget(host: BareJid): void {
    this.#byHost.delete(host)
  }
}

/** Whose guests the sessions of this process are. */
export class Visits {
  readonly #hostsOf = new Map<Session, Set<BareJid>>()

  /** Whose guest it is. */
  of(session: Session): readonly BareJid[] | undefined {
    const hosts = this.#hostsOf.get(session)
    return hosts && [...hosts]
  }

  /** Whether this is new. */
  begin(session: Session, host: BareJid): boolean {
    const hosts = this.#hostsOf.get(session) ?? new Set()
    if (hosts.has(host) || hosts.size >= MAX_HOSTS) return false
    this.#hostsOf.set(session, hosts.add(host))
    return true
  }

  /** Whether there was one. */
  end(session: Session, host: BareJid): boolean {
    const hosts = this.#hostsOf.get(session)
    if (hosts?.delete(host) !== true) return false
    if (hosts.size === 0) this.#hostsOf.delete(session)
    return true
  }

  /** The session is unavailable to everybody now; gives whose guest it was. */
  endAll(session: Session): Iterable<BareJid> {
    const hosts = this.#hostsOf.get(session) ?? []
    this.#hostsOf.delete(session)
    return hosts
  }
}
