/** The names of everything in a database, each list in code point order. */
export interface StoreInventory {
  readonly domains: readonly string[]
  readonly documentStores: readonly string[]
  ownersOf(store: string): readonly string[]
  readonly expiringStores: readonly string[]
  /** All who may have entries in the log. */
  readonly logOwners: readonly string[]
  close(): void
}
