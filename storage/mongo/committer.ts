import type { Clock } from '#server/base/clock.ts'
import type { CommitObserver } from '../driver.ts'
import type { LogId, LogRecord } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import { Batch, type Done, type Mark, type Put } from './batch.ts'
import type { Collections, ExpiringDocument, LogDocument, StoredDocument } from './collections.ts'
import { outcomeOf, storageErrorOf } from './failure.ts'
import { inTime } from './in-time.ts'
import type { LastId } from './last-id.ts'
import { TRANSIENT_KINDS } from './log-document.ts'
import { type WriteFailure, write } from './write.ts'

/** How long a batch is sent again and again before its writes are refused: longer than a replica set takes to choose another primary. */
const PATIENCE_MS = 15_000
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000
const DUPLICATE_KEY = 11_000

export interface CommitterParts {
  readonly collections: Collections
  readonly lastId: LastId
  readonly clock: Clock
  readonly observer?: CommitObserver
  readonly patienceMs?: number
}

/**
 * The one way to the database for what every message causes. What one turn asks for goes off together at its end; while a batch is under way, everything new is collected
 * and goes off as soon as it is answered. Each statement may be sent twice without harm, so a batch that got no answer is sent again as it is.
 */
export class Committer {
  readonly #parts: CommitterParts
  #collecting = new Batch()
  /** Closed to new writes, and not sent yet. */
  readonly #sealed: Batch[] = []
  #committing: Batch | undefined
  #isScheduled = false
  /** Why writes are refused until the database is back. */
  #away: StorageError | undefined
  /** Entries that were refused and may be there all the same; they go before anything else is written. */
  #undone: readonly LogDocument[] = []
  #isClosed = false

  constructor(parts: CommitterParts) {
    this.#parts = parts
  }

  /** Throws while the database is away, or the store is closed. */
  admit(): void {
    const refusal = this.#refusal
    if (refusal !== undefined) throw refusal
  }

  append(record: LogRecord, done: Done): void {
    const refusal = this.#refusal
    if (refusal !== undefined) return void setImmediate(() => done(refusal))
    for (const { owner } of record.places) this.#yieldTo(owner)
    // Marks are written behind entries; one that was taken off before there was an entry is no mark of it.
    if (record.id <= this.#collecting.highestMarked) this.#seal()
    const { lastId } = this.#parts
    if (this.#collecting.append(record, lastId.value, done)) lastId.give(record.id)
    this.#schedule()
  }

  clear(owner: string, id: LogId, takenAtMs: number): void {
    if (this.#isClosed || !owner.isWellFormed()) return
    this.#yieldTo(owner)
    this.#collecting.clear(owner, id, takenAtMs)
    this.#schedule()
  }

  put(collection: 'documents', document: StoredDocument): Promise<void>
  put(collection: 'expiring', document: ExpiringDocument): Promise<void>
  async put(collection: Put['collection'], document: Put['document']): Promise<void> {
    this.admit()
    return new Promise((resolve, reject) => {
      this.#collecting.put({ collection, document, resolve, reject })
      this.#schedule()
    })
  }

  /** Looks at an owner's entries once everything that was written for it so far is there, and before anything that is written later. */
  async read<T>(owner: string, look: () => Promise<T>): Promise<T> {
    this.admit()
    const batch = this.#lastOf(owner)
    if (batch === undefined) return look()
    const reading = this.#over(batch).then(look)
    batch.readers.add(owner)
    batch.readings.push(reading.catch(() => undefined))
    return reading
  }

  /** Does something to an owner's entries after everything that was written for it so far, and before anything that is written later. */
  async alone<T>(owner: string, action: () => Promise<T>): Promise<T> {
    this.admit()
    this.#collecting.owners.add(owner)
    const done = this.read(owner, action)
    this.#schedule()
    return done
  }

  /** Resolves when everything that was written for the owner so far is there. */
  async written(owner: string): Promise<void> {
    this.admit()
    const batch = this.#lastOf(owner)
    if (batch !== undefined) await this.#over(batch)
  }

  /** Resolves when everything so far is there; rejects when something of it is not. */
  async flush(): Promise<void> {
    this.admit()
    const last = this.#collecting.isEmpty ? (this.#sealed.at(-1) ?? this.#committing) : this.#collecting
    if (last?.isOver === false) await this.#over(last)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.flush().catch(() => undefined)
    this.#isClosed = true
  }

  get #refusal(): StorageError | undefined {
    return this.#isClosed ? new StorageError('the store is closed', { isTransient: false }) : this.#away
  }

  #over(batch: Batch): Promise<void> {
    return new Promise((resolve, reject) => batch.waiters.push({ resolve, reject }))
  }

  #lastOf(owner: string): Batch | undefined {
    if (this.#collecting.owners.has(owner)) return this.#collecting
    return (
      this.#sealed.findLast((batch) => batch.owners.has(owner)) ??
      (this.#committing?.isOver === false && this.#committing.owners.has(owner) ? this.#committing : undefined)
    )
  }

  /** What an owner reads now must not see what is written for it next: that goes with a later batch, which waits for the reading. */
  #yieldTo(owner: string): void {
    if (this.#collecting.readers.size > 0 && this.#collecting.readers.has(owner)) {
      this.#collecting.isReadFirst = true
      this.#seal()
    }
    // Those that are closed already, or under way, are followed by the one that this goes into.
    for (const batch of this.#sealed) if (batch.readers.has(owner)) batch.isReadFirst = true
    if (this.#committing?.readers.has(owner) === true) this.#committing.isReadFirst = true
  }

  #seal(): void {
    this.#sealed.push(this.#collecting)
    this.#collecting = new Batch()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#committing !== undefined || this.#away !== undefined) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (this.#committing === undefined && this.#away === undefined) void this.#commitAll()
    })
  }

  async #commitAll(): Promise<void> {
    for (let batch = this.#next(); batch !== undefined; batch = this.#next()) {
      this.#committing = batch
      await this.#commit(batch)
      const { readings } = batch
      if (batch.isReadFirst) await Promise.all(readings)
      this.#committing = undefined
    }
  }

  #next(): Batch | undefined {
    if (this.#away !== undefined) return undefined
    const sealed = this.#sealed.shift()
    if (sealed !== undefined) return sealed
    if (this.#collecting.isEmpty) return undefined
    const batch = this.#collecting
    this.#collecting = new Batch()
    return batch
  }

  async #commit(batch: Batch): Promise<void> {
    const { clock, patienceMs = PATIENCE_MS } = this.#parts
    const startMs = clock.monotonicMs()
    let isFirst = true
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        const putErrors = await this.#send(batch)
        this.#observe(batch, startMs, batch.refusals + putErrors.size)
        return batch.settle(undefined, putErrors)
      } catch (error) {
        const outcome = outcomeOf(error)
        if (outcome === 'unknown') batch.mayBeWritten = true
        // A server that is found, and does not answer, may have lost one connection and nothing else.
        const isTried = !isFirst || outcome === 'unsent'
        isFirst = false
        if (outcome === 'refused' || (isTried && clock.monotonicMs() - startMs >= patienceMs)) {
          this.#observe(batch, startMs, batch.writes)
          return this.#leave(batch, storageErrorOf(error))
        }
      }
      await this.#pause(pauseMs)
    }
  }

  #observe({ writes }: Batch, startMs: number, failures: number): void {
    const { observer, clock } = this.#parts
    if (writes > 0) observer?.onCommit({ operations: writes, durationMs: clock.monotonicMs() - startMs, failures })
  }

  /** The database is away: everything is refused, in order, until it is back. What is marked as taken stays so, and is written then. */
  #leave(batch: Batch, error: StorageError): void {
    if (batch.mayBeWritten) this.#undone = batch.entries
    this.#away = error
    const all = [batch, ...this.#sealed.splice(0), this.#collecting]
    this.#collecting = new Batch()
    for (const each of all) this.#collecting.inherit(each)
    for (const each of all) each.settle(error)
    void this.#comeBack()
  }

  async #comeBack(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !this.#isClosed; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      await this.#pause(pauseMs)
      try {
        const { db, answerMs } = this.#parts.collections
        await inTime(answerMs, (signal) => db.command({ ping: 1 }, { signal }))
        await this.#undo()
        this.#away = undefined
        return this.#schedule()
      } catch (error) {
        this.#away = storageErrorOf(error)
      }
    }
  }

  /** Removes what was refused and was written all the same; by its content too, lest it be another's. */
  async #undo(): Promise<void> {
    const statements = this.#undone.map(({ _id, s }) => ({ q: { _id, s }, limit: 1 }))
    await write(this.#parts.collections, 'delete', 'log', statements, ({ q }) => q.s.position + BYTES_OF_STATEMENT)
    this.#undone = []
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.after(ms, resolve))
  }

  /** Writes a batch, and gives the puts that failed alone. */
  async #send(batch: Batch): Promise<ReadonlyMap<Put, StorageError>> {
    const { lastId } = this.#parts
    const documents = batch.puts.filter(({ collection }) => collection === 'documents')
    const expiring = batch.puts.filter(({ collection }) => collection === 'expiring')
    const covered = batch.lastId === 0 ? undefined : lastId.cover(batch.lastId)
    // All of it is waited for before any failure is told: what is still on its way must not overtake the next attempt.
    const results = await Promise.allSettled([
      covered,
      this.#sendLog(batch),
      this.#sendPuts('documents', documents),
      this.#sendPuts('expiring', expiring),
    ])
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return new Map(
      results.flatMap((result) => (result.status === 'fulfilled' && result.value !== undefined ? [...result.value] : [])),
    )
  }

  async #sendLog(batch: Batch): Promise<undefined> {
    const inserted = this.#insert(batch)
    // Nearly always they are of entries that were there before, and a message need not wait for what became of others.
    if (batch.marksItsOwn) await inserted
    await allOf([inserted, this.#takeOff(batch.marks)])
  }

  async #insert(batch: Batch): Promise<void> {
    const { entries } = batch
    const failures = await write(
      this.#parts.collections,
      'insert',
      'log',
      entries,
      (entry) => entry.s.position + BYTES_OF_STATEMENT,
    )
    for (const failure of failures) await this.#judge(batch, entries[failure.index], failure)
  }

  /** What is kept and what is not are told apart by both commands, so that neither waits for the other. */
  async #takeOff(marks: readonly Mark[]): Promise<void> {
    if (marks.length === 0) return
    const { collections } = this.#parts
    const updates = marks.map(({ key, takenAtMs }) => ({
      q: { _id: key, n: true, k: { $nin: TRANSIENT_KINDS } },
      u: { $unset: { n: '' }, $set: { a: takenAtMs } },
    }))
    const transient = { _id: { $in: marks.map(({ key }) => key) }, n: true, k: { $in: TRANSIENT_KINDS } }
    await allOf([
      write(collections, 'delete', 'log', [{ q: transient, limit: 0 }], () => 0),
      write(collections, 'update', 'log', updates, () => BYTES_OF_STATEMENT),
    ])
  }

  /** An entry that is there already is ours when it was sent before. */
  async #judge(batch: Batch, entry: LogDocument | undefined, { index, code, message }: WriteFailure): Promise<void> {
    if (entry === undefined) return
    if (code !== DUPLICATE_KEY)
      return batch.refuseEntry(index, new StorageError(`MongoDB refused: ${message}`, { isTransient: false }))
    const { log, answerMs } = this.#parts.collections
    const found = await inTime(answerMs, (signal) => log.findOne({ _id: entry._id }, { signal }))
    const isOurs =
      found === null || (found.c === entry.c && found.t === entry.t && found.s.toString('hex') === entry.s.toString('hex'))
    if (isOurs) return
    batch.refuseEntry(
      index,
      new StorageError('another server gave a message the same id; are two of one name?', { isTransient: false }),
    )
  }

  async #sendPuts(collection: Put['collection'], puts: readonly Put[]): Promise<readonly (readonly [Put, StorageError])[]> {
    const statements = puts.map(({ document }) => ({ q: { _id: document._id }, u: document, upsert: true }))
    const failures = await write(this.#parts.collections, 'update', collection, statements, ({ u }) => (u.v?.length ?? 0) * 3)
    return failures.flatMap(({ index, code, message }) => {
      const put = puts[index]
      // Two servers that make one document at once: the loser tries again.
      const isTransient = code === DUPLICATE_KEY
      return put === undefined ? [] : [[put, new StorageError(`MongoDB refused: ${message}`, { isTransient })] as const]
    })
  }
}

const BYTES_OF_STATEMENT = 400

/** Rejects with the first failure, but not before all are over: what is still on its way must not overtake the next attempt. */
const allOf = async (all: readonly Promise<unknown>[]): Promise<void> => {
  for (const result of await Promise.allSettled(all)) if (result.status === 'rejected') throw result.reason
}
