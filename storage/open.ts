import type { CommitObserver, Driver } from './driver.ts'
import { MemoryDriver } from './memory/driver.ts'
import { SqliteDriver } from './sqlite/driver.ts'

/** Where everything is kept. `durability: 'relaxed'` leaves the moment of writing to the operating system: a power cut may lose what was acknowledged. */
export type StoreConfig =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly path: string; readonly durability?: 'full' | 'relaxed' }

export interface OpenOptions {
  /** Milliseconds since 1970, by which expiring values end. */
  readonly nowMs: () => number
  readonly observer?: CommitObserver
}

/** Opens the configured database, bringing its schema up to date; rejects with a `StorageError` that says what is wrong. */
export const openDriver = async (config: StoreConfig, { nowMs, observer }: OpenOptions): Promise<Driver> => {
  switch (config.kind) {
    case 'memory':
      return new MemoryDriver({ nowMs })
    case 'sqlite':
      return SqliteDriver.open({ folder: config.path, durability: config.durability ?? 'full', nowMs }, observer)
  }
}
