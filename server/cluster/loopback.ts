import type { Logger } from '#server/base/log.ts'
import { BusError, type MessageHandler, type NodeId, type RequestHandler } from '#server/core/bus.ts'
import type { Wire } from '#stanzas/wire.ts'

/** What a node sends to itself: handled in a later turn and in order, as if it came from another. */
export class Loopback {
  readonly #self: NodeId
  readonly #log: Logger
  readonly #onMessage: ReadonlyMap<string, MessageHandler>
  readonly #onRequest: ReadonlyMap<string, RequestHandler>
  #queue: (() => void)[] = []

  constructor(
    self: NodeId,
    log: Logger,
    onMessage: ReadonlyMap<string, MessageHandler>,
    onRequest: ReadonlyMap<string, RequestHandler>,
  ) {
    this.#self = self
    this.#log = log
    this.#onMessage = onMessage
    this.#onRequest = onRequest
  }

  send(kind: string, payload: Wire): boolean {
    this.#later(() => {
      try {
        this.#onMessage.get(kind)?.(this.#self, payload)
      } catch (error) {
        this.#log.error('bus-handler-failed', { kind, error })
      }
    })
    return true
  }

  request(kind: string, payload: Wire): Promise<Wire> {
    return new Promise((resolve, reject) => this.#later(() => void this.#answer(kind, payload).then(resolve, reject)))
  }

  async #answer(kind: string, payload: Wire): Promise<Wire> {
    const handler = this.#onRequest.get(kind)
    if (handler === undefined) throw new BusError('failed', this.#self, kind)
    try {
      return await handler(this.#self, payload)
    } catch (error) {
      this.#log.error('bus-handler-failed', { kind, error })
      throw new BusError('failed', this.#self, kind)
    }
  }

  #later(task: () => void): void {
    if (this.#queue.length === 0)
      setImmediate(() => {
        const tasks = this.#queue
        this.#queue = []
        for (const each of tasks) each()
      })
    this.#queue.push(task)
  }
}
