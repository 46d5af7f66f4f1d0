import type { CommitObserver, Driver } from './driver.ts'
import { MemoryDriver } from './memory/driver.ts'
import { SqliteDriver } from './sqlite/driver.ts'
import type { StorageError } from './storage-error.ts'

/** Where everything is kept. `durability: 'relaxed'` leaves the moment of writing to the operating system: a power cut may lose what was acknowledged. */
export type StoreConfig =
  | { readonly kind: 'memory' }
  | {
      readonly kind: 'sqlite'
      readonly path: string
      readonly durability?: 'full' | 'relaxed'
      /** Offers it to other processes of this machine at this socket. */
      readonly socket?: string
    }
  /** What another process of this machine offers at this socket. */
  | { readonly kind: 'shared'; readonly socket: string }
  | { readonly kind: 'mongodb'; readonly url: string; readonly durability?: 'full' | 'relaxed' }

export interface OpenOptions {
  /** Milliseconds since 1970, by which expiring values end. */
  readonly nowMs: () => number
  readonly observer?: CommitObserver
  /** Is told why a database cannot be reached yet, before each pause; without it, the first failure is the last. */
  readonly onWait?: (reason: StorageError, pauseMs: number) => void
}

/** Opens the configured database, bringing its schema up to date; rejects with a `StorageError` that says what is wrong. */
export const openDriver = async (config: StoreConfig, { nowMs, observer, onWait }: OpenOptions): Promise<Driver> => {
  switch (config.kind) {
    case 'memory':
      return new MemoryDriver({ nowMs })
    case 'sqlite': {
      const { path, durability = 'full', socket } = config
      return SqliteDriver.open({ folder: path, durability, nowMs, ...(socket === undefined ? {} : { socket }) }, observer)
    }
    case 'shared':
      return SqliteDriver.connect(config.socket, nowMs, observer)
    case 'mongodb': {
      // Its client takes 20 MB and a tenth of a second, which a server without it need not spend.
      const { MongoDriver } = await import('./mongo/driver.ts')
      const options = { url: config.url, durability: config.durability ?? 'full', nowMs }
      return MongoDriver.open({ ...options, ...(onWait === undefined ? {} : { onWait }) }, observer)
    }
  }
}
