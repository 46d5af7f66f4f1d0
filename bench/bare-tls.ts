import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { forEachIndex } from './client/accounts.ts'
import { untilQuiet, usageOf } from './cpu.ts'
import { adopt, endProcess } from './processes.ts'
import { certificate } from './servers/certificate.ts'

// What a TLS socket costs in Node before any server is written around it: the part of an idle session's memory that is not ours.

/** Memory per connection of a Node process that does nothing but hold TLS 1.3 sockets. */
export async function bareTlsSocketKib(connections: number): Promise<number> {
  const { certFile, keyFile } = await certificate()
  const server = fork(import.meta.filename, ['server', certFile, keyFile])
  adopt(server)
  const [port] = await once(server, 'message')
  const pid = server.pid ?? 0
  await untilQuiet(pid)
  const before = usageOf(pid).rssBytes
  const client = fork(import.meta.filename, ['client', `${port}`, `${connections}`])
  adopt(client)
  await once(client, 'message')
  await untilQuiet(pid)
  const kib = (usageOf(pid).rssBytes - before) / 1024 / connections
  await endProcess(client)
  await endProcess(server)
  return kib
}

function serve(certFile: string, keyFile: string): void {
  const held = new Set<TLSSocket>()
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (socket) => {
    held.add(socket)
    socket.on('data', (data) => socket.write(data))
    socket.on('error', () => undefined)
    socket.on('close', () => held.delete(socket))
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (address !== null && typeof address !== 'string') process.send?.(address.port)
  })
}

// As many bytes to and fro as a login takes, since a socket that was never used is cheaper than one that was.
async function hold(port: number, connections: number): Promise<void> {
  const greeting = Buffer.alloc(400, 'x')
  await forEachIndex(connections, 50, async () => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    for (let round = 0; round < 4; round++) {
      socket.write(greeting)
      await once(socket, 'data')
    }
  })
  process.send?.('held')
}

if (import.meta.main) {
  const [role, first = '', second = ''] = process.argv.slice(2)
  if (role === 'server') serve(first, second)
  else await hold(Number(first), Number(second))
}
