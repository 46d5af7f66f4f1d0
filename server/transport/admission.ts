import { isIPv6 } from 'node:net'

/** How many connections there may be. */
export interface ConnectionLimits {
  /** In all, over every listener. */
  readonly connections: number
  /** Of one IPv4 address or one IPv6 /64, which is what one household or machine is given. */
  readonly connectionsPerAddress: number
  /** New ones a second; more wait their turn. */
  readonly acceptsPerSecond: number
}

/** Counts who is connected. */
export class Admission {
  readonly #limits: ConnectionLimits
  readonly #perAddress = new Map<string, number>()
  #total = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  get total(): number {
    return this.#total
  }

  /** Takes a place among all; `false` when there is none. */
  enter(): boolean {
    if (this.#total >= this.#limits.connections) return false
    this.#total++
    return true
  }

  /** Gives the place among all back. */
  leave(): void {
    this.#total--
  }

  /** Takes a place under an address's own limit; returns the key that gives it back, or `undefined` when there is none. */
  enterAddress(address: string): string | undefined {
    const key = addressKey(address)
    const count = this.#perAddress.get(key) ?? 0
    if (count >= this.#limits.connectionsPerAddress) return undefined
    this.#perAddress.set(key, count + 1)
    return key
  }

  /** Gives an address's place back. */
  leaveAddress(key: string): void {
    const count = (this.#perAddress.get(key) ?? 0) - 1
    if (count > 0) this.#perAddress.set(key, count)
    else this.#perAddress.delete(key)
  }
}

/** What counts as one peer: an IPv4 address, or the /64 of an IPv6 address in its RFC 5952 spelling. */
export const addressKey = (address: string): string => {
  if (!address.includes(':') || !isIPv6(address)) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const tailGroups = tail === '' ? [] : tail.split(':')
    while (groups.length + tailGroups.length < 8) groups.push('0')
    groups.push(...tailGroups)
  }
  return `${groups.slice(0, 4).join(':')}::/64`
}
