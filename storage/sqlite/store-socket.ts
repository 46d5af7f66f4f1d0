import { chmodSync, renameSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { socketAddress } from '#server/base/socket-address.ts'
import { StorageError } from '../storage-error.ts'
import { type CarriedBatch, decodeRequest, encodeAnswer, FrameReader } from './frames.ts'
import { References } from './names.ts'
import type { Answer, BatchAnswer } from './protocol.ts'

/** A batch of another process, and what its references stand for. */
export interface Task {
  readonly batch: CarriedBatch
  readonly references: References
}

/** What does the work of those who are connected. */
export interface Workshop {
  /** Carries out what came meanwhile, together where it can; the answers are in the order of the tasks. */
  perform(tasks: readonly Task[]): readonly BatchAnswer[]
  backUp(path: string): Promise<Extract<Answer, { kind: 'backed-up' }>>
}

/** Offers the store to other processes of this machine, on a socket that only the server's own user may open. */
export const openStoreSocket = async (path: string, workshop: Workshop): Promise<{ close(): void }> => {
  if (await isAnswering(path)) throw new StorageError(`another process serves the store at ${path}`, { isTransient: true })
  const waiting: { readonly task: Task; readonly answered: (answer: BatchAnswer) => void }[] = []
  const sockets = new Set<Socket>()
  const perform = (): void => {
    const due = waiting.splice(0)
    const answers = workshop.perform(due.map(({ task }) => task))
    for (const [index, { answered }] of due.entries()) {
      const answer = answers[index]
      if (answer !== undefined) answered(answer)
    }
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    const references = new References()
    const reader = new FrameReader((frame) => {
      const request = decodeRequest(frame)
      if (request.kind === 'backup') return void workshop.backUp(request.path).then((answer) => reply(socket, answer))
      // All that has arrived by the end of this turn, and so during the commit before it, is one commit.
      if (waiting.length === 0) setImmediate(perform)
      waiting.push({
        task: { batch: request.batch, references },
        answered(answer) {
          reader.reuse(frame)
          reply(socket, answer)
        },
      })
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.read(chunk)
      } catch {
        // Only a broken process sends this; it learns it from the end of its connection.
        socket.destroy()
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  // It gets its name when nobody else may open it, and when it can be connected to.
  const unnamed = join(dirname(path), '.store')
  rmSync(unnamed, { force: true })
  await listening(server, socketAddress(unnamed))
  chmodSync(unnamed, 0o600)
  renameSync(unnamed, path)
  return {
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      rmSync(path, { force: true })
    },
  }
}

const reply = (socket: Socket, answer: Parameters<typeof encodeAnswer>[0]): void => {
  if (socket.destroyed) return
  socket.cork()
  for (const part of encodeAnswer(answer)) socket.write(part)
  socket.uncork()
}

const listening = (server: Server, address: string): Promise<void> =>
  new Promise((resolve, reject) => void server.once('error', reject).listen(address, resolve))

const isAnswering = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(socketAddress(path))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
