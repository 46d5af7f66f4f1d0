import { parentPort, workerData } from 'node:worker_threads'
import { type Database, type DatabaseOptions, openDatabase } from './database.ts'
import { failureOf } from './failure.ts'
import { References } from './names.ts'
import type { Pace } from './pace.ts'
import type { Answer, BatchMessage, Request } from './protocol.ts'
import { Store } from './store.ts'
import { openStoreSocket } from './store-socket.ts'

/** What a writer thread is started with. */
export interface WriterOptions extends DatabaseOptions {
  readonly pace?: Pace
  /** Where other processes of this machine may use the store, too. */
  readonly socket?: string
}

const answer = (message: Answer, transferred: readonly ArrayBuffer[] = []): void => parentPort?.postMessage(message, transferred)

/** The writer thread: the only one that touches the database. Batches come first; the indexes are filled between them. */
const serve = async (db: Database, store: Store, socket: string | undefined): Promise<void> => {
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
  const backUp = async (path: string): Promise<Extract<Answer, { kind: 'backed-up' }>> => {
    try {
      await db.backup(path)
      return { kind: 'backed-up' }
    } catch (error) {
      return { kind: 'backed-up', failure: failureOf(error) }
    }
  }
  const others =
    socket === undefined
      ? undefined
      : await openStoreSocket(socket, {
          perform(tasks) {
            if (!db.open) return []
            const answers = store.performAll(tasks)
            scheduleCatchUp()
            return answers
          },
          backUp,
        })
  const references = new References()
  const perform = (batch: BatchMessage): void => {
    const result = store.perform(batch, references)
    const isLast = batch.calls.some((call) => call.name === 'close')
    if (isLast) {
      others?.close()
      store.close()
    }
    answer(result, [result.bytes])
    if (isLast) parentPort?.close()
    else scheduleCatchUp()
  }
  parentPort?.on('message', (request: Request) => {
    if (request.kind === 'batch') perform(request)
    else void backUp(request.path).then((result) => answer(result))
  })
}

const start = async (options: WriterOptions): Promise<void> => {
  try {
    const db = openDatabase(options)
    await serve(db, new Store(db, options), options.socket)
    answer({ kind: 'opened' })
  } catch (error) {
    answer({ kind: 'failed', failure: failureOf(error) })
    parentPort?.close()
  }
}

if (parentPort !== null) await start(workerData)
