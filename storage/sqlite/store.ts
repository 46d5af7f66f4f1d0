import { accountCalls } from './accounts.ts'
import { Conversations } from './conversations.ts'
import type { Database } from './database.ts'
import { documentCalls } from './documents.ts'
import { expiringCalls } from './expiring.ts'
import { type Failure, failureOf, isOfDatabase } from './failure.ts'
import { Indexing } from './indexing.ts'
import { logCalls } from './log.ts'
import { LogChanges } from './log-changes.ts'
import { LogReader } from './log-reader.ts'
import { LogRemover } from './log-remover.ts'
import { LogStore } from './log-store.ts'
import { Meta } from './meta.ts'
import { Names, type References } from './names.ts'
import { type Pace, USUAL_PACE } from './pace.ts'
import { PeerIndex } from './peer-index.ts'
import { PlaceIndex } from './place-index.ts'
import {
  APPEND_HEADER_BYTES,
  type BatchAnswer,
  type BatchMessage,
  type Call,
  type CallResult,
  type Calls,
  CLEAR_BYTES,
  MAX_KEPT_BYTES,
  OPERATION_APPEND,
} from './protocol.ts'
import { Records } from './records.ts'
import type { Task } from './store-socket.ts'
import { WordIndex } from './word-index.ts'

/** After a failed slice, so many batches pass before the next try: a full disk is not filled by trying. */
const BATCHES_AFTER_FAILURE = 100

export interface StoreOptions {
  readonly folder: string
  readonly pace?: Pace
}

/** Carries out batches on a database: everything of one in one transaction, in the order it was asked for. */
export class Store {
  readonly #db: Database
  readonly #names: Names
  readonly #log: LogStore
  readonly #remover: LogRemover
  readonly #changes: LogChanges
  readonly #indexing: Indexing
  readonly #calls: Calls
  /** Prepared, since reading their text each time costs a tenth of a small commit. */
  readonly #begin
  readonly #commit
  readonly #save
  readonly #release
  /** Memory in which one batch after the other is carried out, where each may have to be tried again. */
  #copy = new ArrayBuffer(0)
  #batchesToSkip = 0

  constructor(db: Database, { folder, pace = USUAL_PACE }: StoreOptions) {
    this.#db = db
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#save = db.prepare('SAVEPOINT one')
    this.#release = db.prepare('RELEASE one')
    this.#names = new Names(db)
    this.#log = new LogStore(db, folder, this.#names)
    const index = new PlaceIndex(db)
    const own = { store: this.#log, index, peers: new PeerIndex(db), words: new WordIndex(db), records: new Records(db), pace }
    const reader = new LogReader(db, { ...own, names: this.#names })
    this.#remover = new LogRemover(db, { ...own, reader })
    this.#indexing = new Indexing(db, { ...own, remover: this.#remover })
    this.#changes = new LogChanges(db, { ...own, reader })
    const meta = new Meta(db)
    this.#calls = {
      ...accountCalls(db),
      ...documentCalls(db),
      ...expiringCalls(db),
      ...logCalls({
        names: this.#names,
        store: this.#log,
        reader,
        conversations: new Conversations({ ...own, reader, names: this.#names }),
        remover: this.#remover,
        changes: this.#changes,
      }),
      check: () => meta.set('checked', meta.get('checked') + 1),
      flush: () => undefined,
      close: () => undefined,
    }
  }

  /** Commits a batch, or nothing of it; reads are answered either way. */
  perform(batch: BatchMessage, references: References): BatchAnswer {
    try {
      if (this.#isReading(batch)) return this.#carryOut(batch, references)
      return this.#committed(() => this.#carryOut(batch, references))
    } catch (error) {
      const failure = failureOf(error)
      const results = batch.calls.map((call) => (call.isWrite ? { failure } : this.#look(call)))
      return { ...this.#answer(batch, new Map(), results), failure }
    }
  }

  /** Commits the batches of several channels together; if that fails, each by itself, so that none pays for another's. */
  performAll(tasks: readonly Task[]): readonly BatchAnswer[] {
    if (tasks.length > 1) {
      try {
        return this.#committed(() => tasks.map((task) => this.#carryOutCopy(task)))
      } catch {
        // Each is tried as it came, and tells its own what is wrong.
      }
    }
    return tasks.map(({ batch, references }) => this.perform(batch.take(), references))
  }

  #isReading(batch: BatchMessage): boolean {
    return batch.operations === 0 && !this.#log.hasRetained && batch.calls.every((call) => !call.isWrite)
  }

  #committed<T>(work: () => T): T {
    try {
      this.#begin.run()
      this.#log.begin()
      const result = work()
      this.#log.finish()
      this.#commit.run()
      this.#log.succeed()
      return result
    } catch (error) {
      this.#rollBack()
      this.#log.fail()
      throw error
    }
  }

  /** Whether there is work to do between batches. */
  get isBehind(): boolean {
    return this.#log.isInUse && (this.#log.state.hasGarbage || this.#indexing.isDue)
  }

  /** Does a slice of the work that lies between batches; some milliseconds. */
  catchUp(): void {
    if (this.#batchesToSkip > 0) {
      this.#batchesToSkip -= 1
      return
    }
    try {
      if (this.#indexing.isDue) this.#indexing.step()
      else if (!this.#remover.clean()) this.#log.state.hasGarbage = false
    } catch {
      // Nothing is lost: it is all in the records, and the batches themselves report what is wrong.
      this.#rollBack()
      this.#log.forget()
      this.#batchesToSkip = BATCHES_AFTER_FAILURE
    }
  }

  /** Brings the indexes up to date, so that the next start has nothing to read back, and closes. */
  close(): void {
    try {
      while (this.#log.isInUse && this.#indexing.isBehind) this.#indexing.step()
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch {
      // The log in its sequence is complete; the next start reads it back.
    }
    this.#db.close()
    this.#log.close()
  }

  #carryOutCopy({ batch, references }: Task): BatchAnswer {
    const copy = batch.copy(this.#copy)
    if (copy.bytes.byteLength <= MAX_KEPT_BYTES) this.#copy = copy.bytes
    return this.#carryOut(copy, references)
  }

  #carryOut(batch: BatchMessage, references: References): BatchAnswer {
    this.#names.use(references, batch)
    const bytes = Buffer.from(batch.bytes, batch.start, batch.length)
    const view = new DataView(batch.bytes, batch.start, batch.length)
    const refused = new Map<number, Failure>()
    const results: CallResult[] = []
    let [at, operations, appends] = [0, 0, 0]
    const operateUntil = (end: number): void => {
      for (; operations < end; operations += 1) {
        const id = view.getFloat64(at + 1, true)
        const word = view.getUint32(at + 9, true)
        if (view.getUint8(at) !== OPERATION_APPEND) {
          this.#log.clearPending(word, id, view.getFloat64(at + 13, true))
          at += CLEAR_BYTES
          continue
        }
        const record = at + APPEND_HEADER_BYTES
        const failure = this.#log.append(id, bytes.subarray(record, record + word), view, record)
        if (failure !== undefined) refused.set(appends, failure)
        appends += 1
        at = record + word
      }
      this.#log.writeRows()
      for (const late of this.#log.takeLate()) this.#changes.addLate(late)
      for (const [owner, entry] of this.#log.takeLeft()) this.#remover.unlink(owner, entry)
    }
    for (const call of batch.calls) {
      operateUntil(call.after)
      results.push(call.isWrite ? this.#change(call) : this.#look(call))
    }
    operateUntil(batch.operations)
    return this.#answer(batch, refused, results)
  }

  #answer(batch: BatchMessage, refused: ReadonlyMap<number, Failure>, results: readonly CallResult[]): BatchAnswer {
    return { kind: 'batch', bytes: batch.bytes, refused, results }
  }

  /** One document that cannot be written must not cost the batch: its own changes are undone, the others stand. */
  #change(call: Call): CallResult {
    if (call.name.startsWith('log-')) return { value: this.#invoke(call) }
    this.#save.run()
    try {
      const value = this.#invoke(call)
      this.#release.run()
      return { value }
    } catch (error) {
      if (!this.#db.inTransaction || isOfDatabase(error)) throw error
      this.#db.exec('ROLLBACK TO one')
      this.#release.run()
      return { failure: failureOf(error) }
    }
  }

  #look(call: Call): CallResult {
    try {
      return { value: this.#invoke(call) }
    } catch (error) {
      return { failure: failureOf(error) }
    }
  }

  #invoke({ name, args }: Call): unknown {
    // The channel pairs each name with its arguments.
    const action = this.#calls[name] as (...args: readonly unknown[]) => unknown
    return action(...args)
  }

  #rollBack(): void {
    if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
  }
}
