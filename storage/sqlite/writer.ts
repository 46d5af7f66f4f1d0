import { parentPort, workerData } from 'node:worker_threads'
import { type Database, type DatabaseOptions, openDatabase } from './database.ts'
import { failureOf } from './failure.ts'
import type { Pace } from './pace.ts'
import type { Answer, BackupMessage, BatchMessage, Request } from './protocol.ts'
import { Store } from './store.ts'

/** What a writer thread is started with. */
export interface WriterOptions extends DatabaseOptions {
  readonly pace?: Pace
}

const answer = (message: Answer, transferred: readonly ArrayBuffer[] = []): void => parentPort?.postMessage(message, transferred)

/** The writer thread: the only one that touches the database. Batches come first; the indexes are filled between them. */
const serve = (db: Database, store: Store): void => {
  let isScheduled = false
  const catchUp = (): void => {
    isScheduled = false
    if (db.open && store.isBehind) store.catchUp()
    scheduleCatchUp()
  }
  const scheduleCatchUp = (): void => {
    if (isScheduled || !db.open || !store.isBehind) return
    isScheduled = true
    setImmediate(catchUp)
  }
  const perform = (batch: BatchMessage): void => {
    const result = store.perform(batch)
    const isLast = batch.calls.some((call) => call.name === 'close')
    if (isLast) store.close()
    answer(result, [result.bytes])
    if (isLast) parentPort?.close()
    else scheduleCatchUp()
  }
  const backUp = async ({ path }: BackupMessage): Promise<void> => {
    try {
      await db.backup(path)
      answer({ kind: 'backed-up' })
    } catch (error) {
      answer({ kind: 'backed-up', failure: failureOf(error) })
    }
  }
  parentPort?.on('message', (request: Request) => {
    if (request.kind === 'batch') perform(request)
    else void backUp(request)
  })
}

const start = (options: WriterOptions): void => {
  try {
    const db = openDatabase(options)
    serve(db, new Store(db, options))
    answer({ kind: 'opened' })
  } catch (error) {
    answer({ kind: 'failed', failure: failureOf(error) })
    parentPort?.close()
  }
}

if (parentPort !== null) start(workerData)
