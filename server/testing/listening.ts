import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Clock } from '#server/base/clock.ts'
import { systemClock } from '#server/base/clock.ts'
import { type LogEntry, nullLog, recordingLog } from '#server/base/log.ts'
import { Metrics } from '#server/base/metrics.ts'
import type { Accept, Connection } from '#server/stream/connection.ts'
import { Certificates } from '#server/transport/certificates.ts'
import { type ListenerOptions, type Listeners, openListeners, type TransportOptions } from '#server/transport/listener.ts'

/** Collects bytes and lets a test wait until what it wants is there. */
export class Inbox {
  readonly #chunks: Buffer[] = []
  #waiting: (() => void)[] = []
  length = 0

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.length += chunk.length
    for (const look of this.#waiting.splice(0)) look()
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }

  /** How many times bytes arrived. */
  get arrivals(): number {
    return this.#chunks.length
  }

  /** Resolves to all that has arrived once it holds the text, or so many bytes. */
  async until(wanted: string | number): Promise<string> {
    while (typeof wanted === 'string' ? !this.text.includes(wanted) : this.length < wanted)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.text
  }
}

/** What the server's side of a connection saw. */
export interface Accepted {
  readonly connection: Connection
  readonly inbox: Inbox
  /** The reason that was given for its end. */
  readonly closed: Promise<string>
}

/** An `Accept` that records; `respond` is called with each chunk. */
export const recorder = (respond: (accepted: Accepted, chunk: Buffer) => void = () => {}) => {
  const all: Accepted[] = []
  const waiting: ((accepted: Accepted) => void)[] = []
  const accept: Accept = (connection) => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const accepted: Accepted = { connection, inbox: new Inbox(), closed: promise }
    queueMicrotask(() => {
      const next = waiting.shift()
      if (next === undefined) all.push(accepted)
      else next(accepted)
    })
    return {
      onData(chunk) {
        accepted.inbox.add(Buffer.from(chunk))
        respond(accepted, chunk)
      },
      onClose: resolve,
    }
  }
  /** The next connection that nobody has asked for yet. */
  const next = (): Promise<Accepted> => {
    const accepted = all.shift()
    return accepted === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(accepted)
  }
  return { accept, next }
}

/** A folder that is removed when the test ends. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'waxwing-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A self-made certificate for localhost in a folder of its own. */
export const localCertificates = (clock: Clock = systemClock, minVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.2'): Certificates => {
  const options = { domain: 'localhost', data: temporaryFolder(), files: undefined, minVersion, curves: [], clock, log: nullLog }
  const certificates = new Certificates(options)
  onTestFinished(() => certificates.stop())
  return certificates
}

const NO_LIMITS = { connections: 1000, connectionsPerAddress: 1000, acceptsPerSecond: 1000 }

/** Opens listeners on free loopback ports until the test ends. */
export const listening = async (
  listeners: readonly (Pick<ListenerOptions, 'security' | 'service'> & Partial<ListenerOptions>)[],
  options: Partial<TransportOptions> = {},
): Promise<{
  readonly listeners: Listeners
  readonly port: number
  readonly entries: readonly LogEntry[]
  readonly metrics: Metrics
}> => {
  const { log, entries } = recordingLog()
  const metrics = new Metrics()
  const open = await openListeners(
    listeners.map((each, index) => ({ name: `listener${index}`, addresses: ['127.0.0.1'], port: 0, ...each })),
    {
      clock: systemClock,
      log,
      metrics,
      certificates: options.certificates ?? localCertificates(),
      limits: NO_LIMITS,
      proxies: [],
      reusePort: false,
      ...options,
    },
  )
  onTestFinished(() => open.close())
  return { listeners: open, port: Object.values(open.ports)[0] ?? 0, entries, metrics }
}

/** A bare socket to a port, with what it received; cut when the test ends. */
export const dial = async (
  port: number,
  options: Partial<NetConnectOpts> = {},
): Promise<{ readonly socket: Socket; readonly inbox: Inbox; readonly closed: Promise<void> }> => {
  const socket = connect({ host: '127.0.0.1', noDelay: true, ...options, port })
  onTestFinished(() => void socket.destroy())
  const inbox = new Inbox()
  const { promise: closed, resolve: close } = Promise.withResolvers<void>()
  socket.on('data', (chunk) => inbox.add(chunk)).on('close', () => close())
  socket.on('error', () => {})
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject)
  })
  return { socket, inbox, closed }
}
