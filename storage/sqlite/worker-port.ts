import { Worker } from 'node:worker_threads'
import { StorageError } from '../storage-error.ts'
import { errorOf, failureOf } from './failure.ts'
import type { Port } from './port.ts'
import type { Answer } from './protocol.ts'
import type { WriterOptions } from './writer.ts'

/** Starts a writer as a thread of this process; resolves when its database is open. */
export const openWorkerPort = (options: WriterOptions): Promise<Port> => {
  // The published package holds compiled files, whose names end in .js.
  const file = new URL(import.meta.url.endsWith('.ts') ? './writer.ts' : './writer.js', import.meta.url)
  const worker = new Worker(file, { workerData: options, name: 'storage' })
  return new Promise((resolve, reject) => {
    worker.once('error', (error) => reject(errorOf(failureOf(error))))
    worker.once('exit', () => reject(new StorageError('the database writer did not start', { isTransient: false })))
    worker.once('message', (answer: Answer) => {
      if (answer.kind === 'failed') reject(errorOf(answer.failure))
      else resolve(portOf(worker))
    })
  })
}

const portOf = (worker: Worker): Port => {
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  return {
    farewell: 'close',
    listen({ answered, ended }) {
      worker.on('message', answered)
      worker.on('error', (cause) => ended(new StorageError('the database writer stopped', { isTransient: false, cause })))
      worker.on('exit', () => ended(new StorageError('the store is closed', { isTransient: false })))
    },
    send: (request) => worker.postMessage(request, request.kind === 'batch' ? [request.bytes] : []),
    close: () => exited,
  }
}
