import { randomBelow } from '#server/base/random.ts'
import type { Collections } from './collections.ts'
import type { Committer } from './committer.ts'
import { storageErrorOf } from './failure.ts'
import { inTime } from './in-time.ts'
import type { Order } from './order.ts'

/** What the shapes share: the collections, the way in for grouped writes, the order of everything else. */
export interface Session {
  readonly collections: Collections
  readonly committer: Committer
  readonly order: Order
  readonly nextRevision: () => number
}

/** For all that an answer takes: the driver looks for another server, and asks it again. */
const ANSWER_MS = 45_000

/** Sends a command, or several, unless the database is known to be away; what goes wrong becomes a `StorageError`. Reads take the signal, and free their connection by it. */
export const ask = async <T>({ committer }: Session, command: (signal: AbortSignal) => Promise<T>): Promise<T> => {
  committer.admit()
  try {
    return await inTime(ANSWER_MS, command)
  } catch (error) {
    throw storageErrorOf(error)
  }
}

const REVISIONS = 2 ** 48

/** Numbers that no process gives twice: each counts up from a random place. A call that is sent again knows its own work by them. */
export const revisions = (): (() => number) => {
  let last = randomBelow(REVISIONS - 1)
  return () => {
    last += 1
    return last
  }
}
