import { connect, type Socket } from 'node:net'
import { socketAddress } from '#server/base/socket-address.ts'
import { StorageError } from '../storage-error.ts'
import { decodeAnswer, encodeRequest, FrameReader } from './frames.ts'
import type { Port, PortEvents } from './port.ts'

/** Connects to the writer of another process of this machine; resolves when it has answered. */
export const openSocketPort = (path: string): Promise<Port> =>
  new Promise((resolve, reject) => {
    const socket = connect(socketAddress(path))
    const refuse = (cause: Error): void => reject(new StorageError(`no store answers at ${path}`, { isTransient: true, cause }))
    socket.once('error', refuse)
    socket.once('connect', () => {
      socket.off('error', refuse)
      resolve(new SocketPort(socket))
    })
  })

class SocketPort implements Port {
  readonly farewell = 'flush'
  readonly #socket: Socket
  readonly #closed: Promise<void>
  /** The memory of the batch that is not answered yet. */
  #lent = new ArrayBuffer()

  constructor(socket: Socket) {
    this.#socket = socket
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()))
    // What the kernel has to say comes with the end.
    socket.on('error', () => {})
  }

  listen({ answered, ended }: PortEvents): void {
    const reader = new FrameReader((frame) => {
      const lent = this.#lent
      this.#lent = new ArrayBuffer()
      const answer = decodeAnswer(frame, lent)
      reader.reuse(frame)
      answered(answer)
    })
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        reader.read(chunk)
      } catch (error) {
        this.#socket.destroy()
        throw error
      }
    })
    this.#socket.on('close', () => ended(new StorageError('the process that owns the store is gone', { isTransient: false })))
  }

  send(request: Parameters<Port['send']>[0]): void {
    if (request.kind === 'batch') this.#lent = request.bytes
    this.#socket.cork()
    for (const part of encodeRequest(request)) this.#socket.write(part)
    this.#socket.uncork()
  }

  close(): Promise<void> {
    this.#socket.end()
    return this.#closed
  }
}
