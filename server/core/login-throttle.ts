import type { Clock } from '#server/base/clock.ts'

/** Whether an attempt to log in is let in, and if not, when to come again. */
export type Admission = { readonly kind: 'allowed' } | { readonly kind: 'refused'; readonly retryAfterMs: number }

/** So many failures in a row are let pass, and one more each time this share of the window has gone by. */
export interface FailureLimit {
  readonly failures: number
  readonly windowMs: number
}

export interface LoginThrottleOptions {
  readonly clock: Clock
  readonly perAddress?: FailureLimit
  readonly perAccount?: FailureLimit
  readonly maxEntries?: number
}

/** A family behind one address mistypes less often; a dictionary gets 240 words an hour. */
const PER_ADDRESS: FailureLimit = { failures: 20, windowMs: 300_000 }
/** All addresses together; those from which the account has logged in before are not held up by strangers. */
const PER_ACCOUNT: FailureLimit = { failures: 10, windowMs: 600_000 }
/** About 10 MB when an attacker fills it. */
const MAX_ENTRIES = 50_000

/** Counts failed logins by address and by account name, alike for names that no account has, and says who has to wait. */
export class LoginThrottle {
  readonly #addresses: FailureCounts
  readonly #accounts: FailureCounts
  readonly #familiar = new Set<string>()
  readonly #maxEntries: number

  constructor({ clock, perAddress = PER_ADDRESS, perAccount = PER_ACCOUNT, maxEntries = MAX_ENTRIES }: LoginThrottleOptions) {
    this.#addresses = new FailureCounts(clock, perAddress, maxEntries)
    this.#accounts = new FailureCounts(clock, perAccount, maxEntries)
    this.#maxEntries = maxEntries
  }

  /** How many counts are kept. */
  get size(): number {
    return this.#addresses.size + this.#accounts.size + this.#familiar.size
  }

  /** Decides on an attempt from this address, on this account once it is known. */
  check(address: string, account?: string): Admission {
    const network = networkOf(address)
    const isJudgedByAccount = account !== undefined && !this.#familiar.has(`${network} ${account}`)
    const retryAfterMs = Math.max(this.#addresses.waitMs(network), isJudgedByAccount ? this.#accounts.waitMs(account) : 0)
    return retryAfterMs > 0 ? { kind: 'refused', retryAfterMs } : { kind: 'allowed' }
  }

  /** Counts a failed attempt. */
  failed(address: string, account?: string): void {
    const network = networkOf(address)
    this.#addresses.add(network)
    // Failures from where the owner logs in must not lock the owner out elsewhere; the address still counts.
    if (account !== undefined && !this.#familiar.has(`${network} ${account}`)) this.#accounts.add(account)
  }

  /** Remembers that the account has logged in from this address. */
  succeeded(address: string, account: string): void {
    const pair = `${networkOf(address)} ${account}`
    this.#familiar.delete(pair)
    this.#familiar.add(pair)
    if (this.#familiar.size > this.#maxEntries) deleteOldest(this.#familiar)
  }
}

/** Failures that fade at a steady rate: a level and the time it was true. */
class FailureCounts {
  readonly #clock: Clock
  readonly #limit: FailureLimit
  readonly #maxEntries: number
  readonly #levels = new Map<string, { readonly level: number; readonly atMs: number }>()

  constructor(clock: Clock, limit: FailureLimit, maxEntries: number) {
    this.#clock = clock
    this.#limit = limit
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#levels.size
  }

  /** How long until one more failure would be let pass; 0 when it is already. */
  waitMs(key: string): number {
    const excess = this.#levelOf(key) - (this.#limit.failures - 1)
    return excess <= 0 ? 0 : Math.ceil((excess * this.#limit.windowMs) / this.#limit.failures)
  }

  add(key: string): void {
    const level = Math.min(this.#levelOf(key) + 1, this.#limit.failures)
    this.#levels.delete(key)
    this.#levels.set(key, { level, atMs: this.#clock.monotonicMs() })
    if (this.#levels.size > this.#maxEntries) deleteOldest(this.#levels)
  }

  #levelOf(key: string): number {
    const known = this.#levels.get(key)
    if (known === undefined) return 0
    const faded = ((this.#clock.monotonicMs() - known.atMs) * this.#limit.failures) / this.#limit.windowMs
    if (faded < known.level) return known.level - faded
    this.#levels.delete(key)
    return 0
  }
}

const deleteOldest = (entries: Map<string, unknown> | Set<string>): void => {
  for (const oldest of entries.keys()) {
    entries.delete(oldest)
    return
  }
}

/** The part of an address that one customer has: all of IPv4, the first 64 bits of IPv6. */
const networkOf = (address: string): string => {
  if (!address.includes(':')) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? []
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length)
  const all = [...groups, ...Array<string>(zeros).fill('0'), ...after]
  return all
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')
}
