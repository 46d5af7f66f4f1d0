import { chmod, lstat, mkdir, readdir, rename, unlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { NodeId } from '#server/core/bus.ts'
import { BatchReader } from './batch-reader.ts'
import type { Carrier, CarrierEvents } from './carrier.ts'
import { NODE_NAME } from './frames.ts'
import { type LinkOptions, Links } from './links.ts'
import { UnixLine } from './unix-line.ts'

/** What the bus between the processes of one machine needs. */
export interface UnixBusOptions extends LinkOptions {
  /** A folder for its sockets that nobody else may enter; made when it is missing. */
  readonly folder: string
}

/** What the kernel takes as the path of a socket, without its end; macOS takes four less than Linux. */
const MAX_PATH = 103

/**
 * Opens the bus between processes of one machine. Each listens on a socket of its own in a folder and holds a connection to each of the others, for what it sends to them.
 * A process that dies is seen at once: the kernel closes its connections, and nobody listens on its socket.
 */
export const openUnixBus = (options: UnixBusOptions): Promise<Links> => Links.open(new UnixCarrier(options), options)

const fileOf = ({ name, epoch }: NodeId): string => `${name}@${epoch}.sock`

const nodeOf = (file: string): NodeId | undefined => {
  const [, name = '', epoch = ''] = /^(.+)@(\d{1,16})\.sock$/.exec(file) ?? []
  return NODE_NAME.test(name) ? { name, epoch: Number(epoch) } : undefined
}

class UnixCarrier implements Carrier {
  readonly #folder: string
  readonly #self: NodeId
  readonly #lines = new Map<number, UnixLine>()
  readonly #accepted = new Set<Socket>()
  /** The connection by which each peer sends now. */
  readonly #inbound = new Map<number, Socket>()
  #events: CarrierEvents | undefined
  #server: Server | undefined

  constructor({ folder, self }: UnixBusOptions) {
    this.#folder = folder
    this.#self = self
  }

  async start(events: CarrierEvents): Promise<void> {
    const path = this.#pathOf(this.#self)
    if (Buffer.byteLength(path) > MAX_PATH) throw new Error(`${path} is too long for a socket: choose a shorter folder`)
    await privateFolder(this.#folder)
    this.#events = events
    // It gets its name when it can be connected to: who finds a socket that refuses takes it for that of a dead process.
    const unnamed = join(this.#folder, `.${this.#self.epoch}`)
    await new Promise<void>((resolve, reject) => {
      const server = createServer((socket) => this.#accept(socket))
      this.#server = server
      server.once('error', reject).listen(unnamed, resolve)
    })
    await rename(unnamed, path)
    for (const file of await readdir(this.#folder)) {
      const node = nodeOf(file)
      if (node !== undefined && node.epoch !== this.#self.epoch) events.candidate(node)
    }
  }

  carry(to: NodeId, batch: string): boolean {
    if (this.#events === undefined) return false
    let line = this.#lines.get(to.epoch)
    if (line === undefined) {
      line = new UnixLine(this.#pathOf(to), (end) => this.#lost(to, end))
      this.#lines.set(to.epoch, line)
    }
    return line.write(batch)
  }

  queuedBytes(to: NodeId): number {
    return this.#lines.get(to.epoch)?.queuedBytes ?? 0
  }

  drop(node: NodeId): void {
    const line = this.#lines.get(node.epoch)
    this.#lines.delete(node.epoch)
    void line?.end()
    this.#inbound.get(node.epoch)?.destroy()
    this.#inbound.delete(node.epoch)
  }

  async close(): Promise<void> {
    const server = this.#server
    const lines = [...this.#lines.values()]
    this.#events = undefined
    this.#lines.clear()
    await Promise.all(lines.map((line) => line.end()))
    for (const socket of this.#accepted) socket.destroy()
    await unlink(this.#pathOf(this.#self)).catch(() => {})
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())))
  }

  #pathOf(node: NodeId): string {
    return join(this.#folder, fileOf(node))
  }

  #lost(node: NodeId, end: 'nobody' | 'failed' | 'closed'): void {
    if (!this.#lines.delete(node.epoch)) return
    if (end === 'closed') this.#events?.interrupted(node.epoch)
    if (end !== 'nobody') return
    void unlink(this.#pathOf(node)).catch(() => {})
    this.#events?.ended(node)
  }

  #accept(socket: Socket): void {
    this.#accepted.add(socket)
    let from: number | undefined
    const reader = new BatchReader((batch) => {
      const sender = this.#events?.batch(batch, from)
      if (sender === undefined) return false
      from ??= sender.epoch
      if (sender.type === 'greeting') this.#inbound.set(from, socket)
      return true
    })
    socket.on('data', (chunk) => {
      if (!reader.read(chunk)) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#accepted.delete(socket)
      if (from === undefined || this.#inbound.get(from) !== socket) return
      this.#inbound.delete(from)
      this.#events?.interrupted(from)
    })
  }
}

const privateFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { mode, uid } = await lstat(folder)
  if (process.getuid !== undefined && uid !== process.getuid()) throw new Error(`${folder} belongs to somebody else`)
  if ((mode & 0o077) !== 0) await chmod(folder, 0o700)
}
