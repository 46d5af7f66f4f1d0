import type { Accept, Connection, ConnectionHandler } from '#server/stream/connection.ts'
import type { Wire } from '#stanzas/wire.ts'

/** The two ends of a connection that never leaves the process. What either side writes arrives in the same turn or the next. */
export class MemoryConnection implements Connection {
  readonly remoteAddress: string
  readonly framing = 'stream'
  readonly canStartTls = false
  readonly isPrivate = false
  readonly tls = undefined
  readonly #handler: ConnectionHandler
  #onText: (text: string) => void = () => undefined
  #onEnd: () => void = () => undefined
  #queue = ''
  #callbacks: (() => void)[] = []
  #isScheduled = false
  #isStalled = false
  #isPaused = false
  #inbox: Buffer[] = []
  #isGone = false

  constructor(accept: Accept, remoteAddress: string) {
    this.remoteAddress = remoteAddress
    this.#handler = accept(this)
  }

  /** The client's side: what it is told. */
  listen(onText: (text: string) => void, onEnd: () => void): void {
    this.#onText = onText
    this.#onEnd = onEnd
  }

  /** The client sends bytes. */
  deliver(bytes: Buffer): void {
    if (this.#isGone) return
    if (this.#isPaused) this.#inbox.push(bytes)
    else this.#handler.onData(bytes)
  }

  /** The client's side of the network fails. */
  cut(): void {
    this.#close('cut')
  }

  /** The client stops reading, or reads again: the kernel takes nothing meanwhile. */
  stall(isStalled: boolean): void {
    this.#isStalled = isStalled
    if (!isStalled) this.#flush()
  }

  get queuedBytes(): number {
    return this.#queue.length
  }

  write(data: Wire): void {
    if (this.#isGone) return
    this.#queue += data
    this.#schedule()
  }

  afterFlush(callback: () => void): void {
    this.#callbacks.push(callback)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#isStalled) this.#flush()
    })
  }

  #flush(): void {
    const text = Buffer.from(this.#queue, 'latin1').toString('utf8')
    const callbacks = this.#callbacks
    this.#queue = ''
    this.#callbacks = []
    if (text !== '') this.#onText(text)
    if (this.#isGone) return
    for (const callback of callbacks) callback()
  }

  pause(): void {
    this.#isPaused = true
  }
  resume(): void {
    this.#isPaused = false
    while (!this.#isPaused && this.#inbox.length > 0) {
      const chunk = this.#inbox.shift()
      if (chunk !== undefined) this.#handler.onData(chunk)
    }
  }
  startTls(): Promise<void> {
    return Promise.reject(new Error('memory needs no TLS'))
  }
  keepAlive(): void {
    this.#queue += ' '
    this.#schedule()
  }
  end(): void {
    if (this.#isGone) return
    if (!this.#isStalled) this.#flush()
    this.#close('ended')
  }
  destroy(): void {
    this.#close('destroyed')
  }

  #close(reason: string): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#onEnd()
    this.#handler.onClose(reason)
  }
}
