import type { Clock } from '#server/base/clock.ts'
import { type Rate, RateLimit } from '#server/base/rate-limit.ts'

/** Whether an attempt to log in is let in, and if not, when to come again. */
export type Admission = { readonly kind: 'allowed' } | { readonly kind: 'refused'; readonly retryAfterMs: number }

/** How many failures within the window are too many. They come back evenly: with 10 in 5 minutes, one more try every 30 seconds. */
export interface FailureLimit {
  readonly failures: number
  readonly windowMs: number
}

/** The limits of one address and of one account, from wherever it is tried. */
export interface LoginThrottleOptions {
  readonly clock: Clock
  readonly perAddress: FailureLimit
  readonly perAccount: FailureLimit
  readonly maxEntries?: number
}

/** Pairs of network and account that are remembered; about 10 MB when full. */
const MAX_ENTRIES = 50_000

/** Counts failed logins by address and by account name, alike for names that no account has, and says who has to wait. */
export class LoginThrottle {
  readonly #addresses: RateLimit
  readonly #accounts: RateLimit
  readonly #refused: { readonly address: Admission; readonly account: Admission }
  readonly #familiar = new Set<string>()
  /** Attempts that were not let in, by whose failures were too many. */
  readonly counts = { address: 0, account: 0 }
  readonly #maxEntries: number

  constructor({ clock, perAddress, perAccount, maxEntries = MAX_ENTRIES }: LoginThrottleOptions) {
    this.#addresses = new RateLimit(rateOf(perAddress), clock, maxEntries)
    this.#accounts = new RateLimit(rateOf(perAccount), clock, maxEntries)
    this.#refused = { address: refusal(perAddress), account: refusal(perAccount) }
    this.#maxEntries = maxEntries
  }

  /** How many addresses, accounts and pairs of them are remembered. */
  get size(): number {
    return this.#addresses.size + this.#accounts.size + this.#familiar.size
  }

  /** Decides on an attempt from this address, on this account once it is known; counts nothing. */
  check(address: string, account?: string): Admission {
    const network = networkOf(address)
    if (!this.#addresses.allows(network)) {
      this.counts.address++
      return this.#refused.address
    }
    if (account === undefined || this.#accounts.allows(account)) return ALLOWED
    // Whoever guesses an account's password from elsewhere must not lock its owner out.
    if (this.#familiar.has(`${network} ${account}`)) return ALLOWED
    this.counts.account++
    return this.#refused.account
  }

  /** Counts a failed attempt, whether or not there is such an account. */
  failed(address: string, account?: string): void {
    this.#addresses.take(networkOf(address))
    if (account !== undefined) this.#accounts.take(account)
  }

  /** Remembers that the account has logged in from this address. */
  succeeded(address: string, account: string): void {
    const pair = `${networkOf(address)} ${account}`
    this.#familiar.delete(pair)
    this.#familiar.add(pair)
    if (this.#familiar.size <= this.#maxEntries) return
    for (const oldest of this.#familiar) {
      this.#familiar.delete(oldest)
      return
    }
  }
}

const ALLOWED: Admission = { kind: 'allowed' }

const rateOf = ({ failures, windowMs }: FailureLimit): Rate => ({ burst: failures, perMs: windowMs })

/** By then one failure has come back for sure. */
const refusal = ({ failures, windowMs }: FailureLimit): Admission => ({
  kind: 'refused',
  retryAfterMs: Math.ceil(windowMs / failures),
})

/** The part of an address that one customer has: all of IPv4, the first 64 bits of IPv6. */
export const networkOf = (address: string): string => {
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
