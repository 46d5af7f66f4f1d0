import type { CommitObserver, Driver } from '../driver.ts'
import type { Accounts, Documents, Expiring, Log } from '../shapes.ts'
import { sqliteAccounts } from './accounts.ts'
import { Channel } from './channel.ts'
import { sqliteDocuments } from './documents.ts'
import { sqliteExpiring } from './expiring.ts'
import { sqliteLog } from './log.ts'
import { openSocketPort } from './socket-port.ts'
import { openWorkerPort } from './worker-port.ts'
import type { WriterOptions } from './writer.ts'

/** Keeps everything in one SQLite file, written by a thread of its own in one transaction per group of operations. */
export class SqliteDriver implements Driver {
  readonly name = 'sqlite'
  readonly accounts: Accounts
  readonly log: Log
  readonly #channel: Channel
  readonly #nowMs: () => number

  private constructor(channel: Channel, nowMs: () => number) {
    this.#channel = channel
    this.#nowMs = nowMs
    this.accounts = sqliteAccounts(channel)
    this.log = sqliteLog(channel)
  }

  static async open(
    { nowMs, ...options }: WriterOptions & { readonly nowMs: () => number },
    observer?: CommitObserver,
  ): Promise<SqliteDriver> {
    return new SqliteDriver(new Channel(await openWorkerPort(options), observer), nowMs)
  }

  /** Uses the store of another process of this machine, which offers it at this socket. */
  static async connect(socket: string, nowMs: () => number, observer?: CommitObserver): Promise<SqliteDriver> {
    return new SqliteDriver(new Channel(await openSocketPort(socket), observer), nowMs)
  }

  documents<T>(name: string): Documents<T> {
    return sqliteDocuments<T>(this.#channel, name)
  }

  expiring<T>(name: string): Expiring<T> {
    return sqliteExpiring<T>(this.#channel, name, this.#nowMs)
  }

  check(): Promise<void> {
    return this.#channel.write('check')
  }

  backup(path: string): Promise<void> {
    return this.#channel.backup(path)
  }

  close(): Promise<void> {
    return this.#channel.close()
  }
}
