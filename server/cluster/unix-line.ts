import { connect, type Socket } from 'node:net'

/** How a line came to its end: nobody listens at its other end; it could not be connected for now; it was connected, and is closed. */
export type LineEnd = 'nobody' | 'failed' | 'closed'

/** A connection to another process of this machine, for what is sent to it. */
export class UnixLine {
  readonly #socket: Socket
  readonly #closed: Promise<void>

  constructor(path: string, onEnd: (end: LineEnd) => void) {
    let end: LineEnd = 'failed'
    this.#socket = connect(path)
    this.#socket.once('connect', () => (end = 'closed'))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      if (end === 'failed' && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')) end = 'nobody'
    })
    // Nothing comes this way; but where nobody reads, the end is never seen.
    this.#socket.resume()
    this.#closed = new Promise((resolve) => {
      this.#socket.once('close', () => {
        resolve()
        onEnd(end)
      })
    })
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  /** Sends a batch behind its length. */
  write(batch: string): boolean {
    if (this.#socket.writableEnded || this.#socket.destroyed) return false
    const { length } = batch
    const prefix = String.fromCharCode(length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)
    this.#socket.write(prefix + batch, 'latin1')
    return true
  }

  /** Closes once what was written is sent; what a process that does not run would never take is given up after a moment. */
  end(): Promise<void> {
    this.#socket.setTimeout(FAREWELL_MS, () => this.#socket.destroy())
    this.#socket.end()
    return this.#closed
  }
}

const FAREWELL_MS = 500
