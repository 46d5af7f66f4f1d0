interface Operation {
  readonly isWrite: boolean
  /** Resolves when it is over, however it ended. */
  readonly over: Promise<unknown>
}

/** What is not over yet: by key, and of all keys at once. */
interface Scope {
  readonly keys: Map<string, Set<Operation>>
  readonly whole: Set<Operation>
}

/**
 * Lets operations of one scope (an owner's documents in one store) go in the order in which they were asked for, where the order can be seen: a read sees every write
 * that was called before it and none called after. Operations on different keys, and reads among themselves, go side by side.
 */
export class Order {
  readonly #scopes = new Map<string, Scope>()
  readonly #all = new Set<Promise<unknown>>()

  /** `key: undefined` stands for all keys of the scope. */
  run<T>(name: string, key: string | undefined, isWrite: boolean, action: () => Promise<T>): Promise<T> {
    const scope = this.#scopes.get(name) ?? { keys: new Map<string, Set<Operation>>(), whole: new Set<Operation>() }
    this.#scopes.set(name, scope)
    const blockers = blockersOf(scope, key, isWrite)
    const result = blockers.length === 0 ? action() : Promise.all(blockers).then(action)
    const over = result.then(nothing, nothing)
    const operation: Operation = { isWrite, over }
    const place = key === undefined ? scope.whole : (scope.keys.get(key) ?? new Set<Operation>())
    place.add(operation)
    if (key !== undefined) scope.keys.set(key, place)
    this.#all.add(over)
    void over.then(() => {
      this.#all.delete(over)
      place.delete(operation)
      if (key !== undefined && place.size === 0) scope.keys.delete(key)
      if (scope.whole.size === 0 && scope.keys.size === 0) this.#scopes.delete(name)
    })
    return result
  }

  /** Resolves when everything asked for so far is over. */
  async settled(): Promise<void> {
    await Promise.all(this.#all)
  }
}

const nothing = (): void => undefined

const blockersOf = ({ keys, whole }: Scope, key: string | undefined, isWrite: boolean): readonly Promise<unknown>[] => {
  const others = key === undefined ? [...keys.values(), whole] : [keys.get(key) ?? [], whole]
  return others.flatMap((operations) => [...operations].filter((earlier) => isWrite || earlier.isWrite).map(({ over }) => over))
}
