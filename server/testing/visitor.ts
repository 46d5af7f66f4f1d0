import { once } from 'node:events'
import { connect } from 'node:net'
import { Actor } from './actor.ts'
import type { Line } from './lines.ts'

/** Connects to a server that is another process. */
export const visit = async (port: number): Promise<Actor> => {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const line: Line = {
    framing: 'stream',
    send: (text) => void socket.write(text),
    listen(onText, onEnd) {
      const decoder = new TextDecoder()
      socket.on('data', (bytes) => onText(decoder.decode(bytes, { stream: true })))
      socket.on('end', () => socket.end())
      socket.on('close', onEnd)
      socket.on('error', () => undefined)
    },
    cut: () => socket.resetAndDestroy(),
    stall: () => undefined,
  }
  // What another process does is known by what it sends.
  return new Actor(line, 'localhost', () => Promise.resolve())
}
