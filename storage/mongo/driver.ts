import { type Clock, pause, systemClock } from '#server/base/clock.ts'
import { newId } from '#server/base/random.ts'
import type { CommitObserver, Driver } from '../driver.ts'
import type { Accounts, Documents, Expiring, Log } from '../shapes.ts'
import type { StorageError } from '../storage-error.ts'
import { mongoAccounts } from './accounts.ts'
import { Committer } from './committer.ts'
import { type ConnectionOptions, connect } from './connection.ts'
import { mongoDocuments } from './documents.ts'
import { mongoExpiring } from './expiring.ts'
import { storageErrorOf } from './failure.ts'
import { makeIndexes } from './indexes.ts'
import { LastId } from './last-id.ts'
import { checkMigrated } from './loader.ts'
import { mongoLog } from './log.ts'
import { Order } from './order.ts'
import { checkSchema } from './schema.ts'
import { ask, revisions, type Session } from './session.ts'

export interface MongoOptions extends ConnectionOptions {
  /** Milliseconds since 1970, by which expiring values end. */
  readonly nowMs: () => number
  /** Is told why the database cannot be used yet, before each pause; without it, the first failure is the last. */
  readonly onWait?: (reason: StorageError, pauseMs: number) => void
  /** Opens a database that a migration has not finished. */
  readonly isFilling?: boolean
  readonly clock?: Clock
  /** How long writes are sent again before they are refused. */
  readonly patienceMs?: number
}

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 10_000

/** Keeps everything in a MongoDB database, for one server or a fleet of them. */
export class MongoDriver implements Driver {
  readonly name = 'mongodb'
  readonly accounts: Accounts
  readonly log: Log
  readonly #session: Session
  readonly #lastId: LastId
  readonly #clock: Clock
  readonly #nowMs: () => number

  private constructor(session: Session, lastId: LastId, clock: Clock, nowMs: () => number) {
    this.#session = session
    this.#lastId = lastId
    this.#clock = clock
    this.#nowMs = nowMs
    this.accounts = mongoAccounts(session)
    this.log = mongoLog(session, lastId)
  }

  /** Connects, waiting as long as waiting may help, and brings the schema up to date. */
  static async open(options: MongoOptions, observer?: CommitObserver): Promise<MongoDriver> {
    const { clock = systemClock, onWait } = options
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        return await MongoDriver.#open(options, clock, observer)
      } catch (error) {
        const reason = storageErrorOf(error)
        if (onWait === undefined || !reason.isTransient) throw reason
        onWait(reason, pauseMs)
      }
      await pause(pauseMs)
    }
  }

  static async #open(options: MongoOptions, clock: Clock, observer: CommitObserver | undefined): Promise<MongoDriver> {
    const collections = await connect(options)
    try {
      await checkSchema(collections)
      if (options.isFilling !== true) await checkMigrated(collections)
      await makeIndexes(collections)
      const lastId = await LastId.open(collections, newId())
      const { patienceMs } = options
      const committer = new Committer({
        collections,
        lastId,
        clock,
        ...(observer === undefined ? {} : { observer }),
        ...(patienceMs === undefined ? {} : { patienceMs }),
      })
      const session = { collections, committer, order: new Order(), nextRevision: revisions() }
      return new MongoDriver(session, lastId, clock, options.nowMs)
    } catch (error) {
      await collections.client.close()
      throw error
    }
  }

  documents<T>(name: string): Documents<T> {
    return mongoDocuments<T>(this.#session, name, this.#clock)
  }

  expiring<T>(name: string): Expiring<T> {
    return mongoExpiring<T>(this.#session, name, this.#nowMs, this.#clock)
  }

  async check(): Promise<void> {
    const { meta } = this.#session.collections
    await ask(this.#session, () => meta.updateOne({ _id: 'check' }, { $set: { version: 0 } }, { upsert: true }))
  }

  async close(): Promise<void> {
    const { committer, order, collections } = this.#session
    await order.settled()
    await committer.close()
    try {
      await this.#lastId.close()
    } catch {
      // The bound that is there lets the next process start a little ahead.
    }
    await collections.client.close()
  }
}
