import { connect as connectTcp, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import type { Accept, Connection, ConnectionHandler } from '#server/stream/connection.ts'
import type { Wire } from '#stanzas/wire.ts'
import { MemoryConnection } from './memory-transport.ts'

/** What carries a conversation. */
export type Carrier = 'memory' | 'tcp' | 'websocket'

/** A client's line to the server. */
export interface Line {
  readonly framing: 'stream' | 'frames'
  send(text: string): void
  listen(onText: (text: string) => void, onEnd: () => void): void
  /** Fails without a word, as a network does. */
  cut(): void
  /** Stops reading, or reads again. Memory only. */
  stall(isStalled: boolean): void
}

/** How clients of one test reach its server. */
export interface Lines {
  open(remoteAddress?: string): Promise<Line>
  /** Bytes or frames that have been sent by either side and not been read by the other. */
  inTransit(): number
  close(): Promise<void>
}

/** Opens the server's side on this carrier. */
export const openLines = (carrier: Carrier, accept: Accept, listen: SocketListeners): Promise<Lines> =>
  carrier === 'memory'
    ? Promise.resolve(memoryLines(accept))
    : carrier === 'tcp'
      ? tcpLines(accept, listen)
      : webSocketLines(accept, listen)

/** How the real transports are put on a socket; given by the conversation, so that this file does not know their options. */
export interface SocketListeners {
  tcp(accept: Accept): Promise<{ readonly port: number; close(): Promise<void> }>
  websocket(accept: Accept): Promise<{ readonly port: number; close(): Promise<void> }>
}

const memoryLines = (accept: Accept): Lines => ({
  open: (remoteAddress = '192.0.2.1') => {
    const connection = new MemoryConnection(accept, remoteAddress)
    return Promise.resolve({
      framing: 'stream' as const,
      send: (text: string) => connection.deliver(Buffer.from(text)),
      listen: (onText: (text: string) => void, onEnd: () => void) => connection.listen(onText, onEnd),
      cut: () => connection.cut(),
      stall: (isStalled: boolean) => connection.stall(isStalled),
    })
  },
  inTransit: () => 0,
  close: () => Promise.resolve(),
})

/** Counts what goes in and out at the server's side. */
class Meter {
  fromServer = 0
  toServer = 0
  fromClients = 0
  toClients = 0

  get inTransit(): number {
    return this.fromServer - this.toClients + (this.fromClients - this.toServer)
  }

  wrap(accept: Accept, measure: (data: string | Buffer) => number): Accept {
    return (connection) => {
      const write = connection.write.bind(connection)
      const metered: Connection = Object.create(connection, {
        write: {
          value: (data: Wire) => {
            this.fromServer += measure(data)
            write(data)
          },
        },
      })
      for (const name of ['afterFlush', 'pause', 'resume', 'startTls', 'keepAlive', 'end', 'destroy'] as const)
        Object.defineProperty(metered, name, { value: (connection[name] as (...args: unknown[]) => unknown).bind(connection) })
      for (const name of ['remoteAddress', 'framing', 'tls', 'isPrivate', 'canStartTls', 'queuedBytes'] as const)
        Object.defineProperty(metered, name, { get: () => connection[name] })
      const handler: ConnectionHandler = accept(metered)
      return {
        onData: (chunk) => {
          this.toServer += measure(chunk)
          handler.onData(chunk)
        },
        onClose: (reason) => handler.onClose(reason),
      }
    }
  }
}

const tcpLines = async (accept: Accept, listen: SocketListeners): Promise<Lines> => {
  const meter = new Meter()
  const server = await listen.tcp(meter.wrap(accept, (data) => data.length))
  const sockets = new Set<Socket>()
  return {
    async open() {
      const socket = connectTcp(server.port, '127.0.0.1')
      sockets.add(socket)
      socket.setNoDelay(true)
      await new Promise((resolve, reject) => {
        socket.once('connect', resolve)
        socket.once('error', reject)
      })
      return {
        framing: 'stream',
        send(text) {
          const bytes = Buffer.from(text)
          meter.fromClients += bytes.length
          socket.write(bytes)
        },
        listen(onText, onEnd) {
          const decoder = new TextDecoder()
          socket.on('data', (bytes) => {
            meter.toClients += bytes.length
            onText(decoder.decode(bytes, { stream: true }))
          })
          socket.on('end', () => socket.end())
          socket.on('close', onEnd)
          socket.on('error', () => undefined)
        },
        cut: () => socket.resetAndDestroy(),
        stall: () => {
          throw new Error('only memory can stall without filling the kernel')
        },
      }
    },
    inTransit: () => meter.inTransit,
    async close() {
      for (const socket of sockets) socket.destroy()
      await server.close()
    },
  }
}

const webSocketLines = async (accept: Accept, listen: SocketListeners): Promise<Lines> => {
  const meter = new Meter()
  const server = await listen.websocket(meter.wrap(accept, () => 1))
  const sockets = new Set<WebSocket>()
  return {
    async open() {
      const socket = new WebSocket(`ws://127.0.0.1:${server.port}/xmpp-websocket`, 'xmpp')
      sockets.add(socket)
      const early: string[] = []
      let onText = (text: string): void => void early.push(text)
      socket.on('message', (data: Buffer) => {
        meter.toClients++
        onText(data.toString())
      })
      socket.on('error', () => undefined)
      await new Promise((resolve, reject) => {
        socket.once('open', resolve)
        socket.once('error', reject)
      })
      return {
        framing: 'frames',
        send(text) {
          meter.fromClients++
          socket.send(text)
        },
        listen(listener, onEnd) {
          onText = listener
          for (const text of early) listener(text)
          socket.on('close', onEnd)
        },
        cut: () => socket.terminate(),
        stall: () => {
          throw new Error('only memory can stall without filling the kernel')
        },
      }
    },
    inTransit: () => meter.inTransit,
    async close() {
      for (const socket of sockets) socket.terminate()
      await server.close()
    },
  }
}
