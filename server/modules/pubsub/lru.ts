/** What was used lately and how much room it takes, so that what was used longest ago can go first. */
export class Lru<T> {
  readonly #weights = new Map<T, number>()
  #total = 0

  /** It is used now, and weighs this much. */
  touch(value: T, weight: number): void {
    this.remove(value)
    this.#weights.set(value, weight)
    this.#total += weight
  }

  remove(value: T): void {
    const weight = this.#weights.get(value)
    if (weight === undefined) return
    this.#weights.delete(value)
    this.#total -= weight
  }

  /** Those that have to go so that the rest weighs no more than this, as far as they may. */
  excess(limit: number, mayGo: (value: T) => boolean): readonly T[] {
    const going: T[] = []
    let total = this.#total
    for (const [value, weight] of this.#weights) {
      if (total <= limit) break
      if (!mayGo(value)) continue
      going.push(value)
      total -= weight
    }
    return going
  }
}
