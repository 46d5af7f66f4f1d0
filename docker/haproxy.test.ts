import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough, type Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLog } from '#server/base/log.ts'
import { readConfiguration } from '#server/command/configuration.ts'
import type { RunningServer } from '#server/command/server-seam.ts'
import { modules } from '#server/modules/index.ts'
import { startServer } from '#server/server.ts'
import { Actor } from '#server/testing/actor.ts'
import type { Line } from '#server/testing/lines.ts'
import { xml } from '#server/testing/match.ts'

/** haproxy.cfg in front of a node: the file as it is but for its addresses and ports, a real HAProxy, one node that is there and two that are not. */

const CONFIGURATION = join(import.meta.dirname, 'haproxy.cfg')
const NODE = '127.0.0.1'
const HAPROXY = '127.0.0.2'
const ABSENT = ['127.0.0.3', '127.0.0.4']
/** Where the client is; nobody would believe that it was the node or HAProxy. */
const CLIENT = '127.0.0.77'
const password = 'a rose by any name'

const hasHaproxy = (): boolean => {
  try {
    execFileSync('haproxy', ['-v'])
    return true
  } catch {
    return false
  }
}
const isMissing = process.platform !== 'linux' || !hasHaproxy()

let folder: string
let server: RunningServer | undefined
let haproxy: ChildProcessByStdio<null, Readable, Readable> | undefined
const logged: string[] = []
const said: string[] = []

beforeAll(async () => {
  if (isMissing) return
  folder = mkdtempSync(join(tmpdir(), 'waxwing-haproxy-'))
  server = await startNode()
  await server.operations.addAccount('juliet@example.org', password)
  haproxy = startHaproxy(server.ports)
  await bothAbsentAreKnown(haproxy)
}, 30_000)
afterAll(async () => {
  if (haproxy !== undefined && haproxy.exitCode === null) {
    haproxy.kill('SIGTERM')
    await once(haproxy, 'exit')
  }
  await server?.stop()
  if (!isMissing) rmSync(folder, { recursive: true })
})

const startNode = (): Promise<RunningServer> => {
  const config = readConfiguration(undefined, modules, {
    domain: 'example.org',
    data: join(folder, 'data'),
    listen: { address: [NODE], c2s: 0, tls: 0, https: 0, http: 'off', admin: 'off' },
    login: { scramIterations: 4096, allowPlainWithoutTls: true },
    proxyProtocol: [NODE],
  })
  const to = new PassThrough()
  createInterface(to).on('line', (line) => logged.push(line))
  return startServer({ config, log: createLog({ level: 'info', format: 'json', to }) })
}

const startHaproxy = ({ c2s, tls, https }: RunningServer['ports']): ChildProcessByStdio<null, Readable, Readable> => {
  // It wants two files for each connection, more than a test run may have.
  let text = readFileSync(CONFIGURATION, 'utf8').replace(/maxconn \d+/, 'maxconn 100')
  for (const [usual, port] of Object.entries({ 5222: c2s, 5223: tls, 5443: https }))
    text = text.replaceAll(new RegExp(`\\b${usual}\\b`, 'g'), String(port))
  text = text.replace(/bind :::(\d+) v4v6/g, `bind ${HAPROXY}:$1`)
  for (const [index, address] of [NODE, ...ABSENT].entries())
    text = text.replace(`waxwing${index + 1} waxwing${index + 1}`, `waxwing${index + 1} ${address}`)
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, text)
  return spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** HAProxy has asked all three: the two that are not there have failed twice. */
const bothAbsentAreKnown = async (process: ChildProcessByStdio<null, Readable, Readable>): Promise<void> => {
  process.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text))
  for await (const line of createInterface(process.stdout)) {
    said.push(line)
    if (['waxwing2', 'waxwing3'].every((name) => said.some((each) => each.includes(`/${name} is DOWN`)))) return
  }
  throw new Error(`HAProxy ended:\n${said.join('\n')}`)
}

const lineOf = (socket: Socket): Line => ({
  framing: 'stream',
  send: (text) => void socket.write(text),
  listen(onText, onEnd) {
    socket.on('data', (bytes) => onText(String(bytes)))
    socket.on('end', () => socket.end())
    socket.on('close', onEnd)
    socket.on('error', () => undefined)
  },
  cut: () => socket.resetAndDestroy(),
  stall: () => undefined,
})
const actorOn = (socket: Socket): Actor => new Actor(lineOf(socket), 'example.org', () => Promise.resolve())
const portOf = (name: 'c2s' | 'tls' | 'https'): number => server?.ports[name] ?? 0

test.skipIf(isMissing)('haproxy.cfg is in order (needs Debian’s haproxy)', () => {
  execFileSync('haproxy', ['-c', '-q', '-f', CONFIGURATION], { stdio: 'ignore' })
})

test.skipIf(isMissing)('clients get through to the node that is there, on every port (needs Debian’s haproxy)', async () => {
  expect(said.filter((line) => line.includes('waxwing1 is DOWN'))).toEqual([])
  const juliet = actorOn(connect({ port: portOf('c2s'), host: HAPROXY, localAddress: CLIENT }))
  await juliet.logsIn('juliet', password)
  await juliet.binds('balcony')
  await juliet.leaves()

  const ca = readFileSync(server?.caFile ?? '')
  const socket = connectTls({
    port: portOf('tls'),
    host: HAPROXY,
    ca,
    servername: 'example.org',
    ALPNProtocols: ['xmpp-client'],
  })
  await once(socket, 'secureConnect')
  expect(socket.alpnProtocol).toBe('xmpp-client')
  const again = actorOn(socket)
  await again.logsIn('juliet', password)
  await again.binds('chamber')
  await again.leaves()

  const page = get({ host: HAPROXY, port: portOf('https'), ca, servername: 'example.org', path: '/.well-known/host-meta.json' })
  const [response] = await once(page, 'response')
  expect(response.statusCode).toBe(200)
  response.resume()
})

test.skipIf(isMissing)('the node knows clients by their own addresses (needs Debian’s haproxy)', async () => {
  const tybalt = actorOn(connect({ port: portOf('c2s'), host: HAPROXY, localAddress: CLIENT }))
  await tybalt.opensStream()
  const guess = Buffer.from('\0juliet\0capulet').toString('base64')
  await tybalt.sends(`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">${guess}</auth>`)
  await tybalt.receives(xml`<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><not-authorized/></failure>`)
  const failure = logged.find((line) => line.includes('login-failed'))
  expect(JSON.parse(failure ?? '{}')).toMatchObject({ address: CLIENT, account: 'juliet@example.org' })
  // What HAProxy itself asks every two seconds is no reason to complain.
  expect(logged.filter((line) => !line.includes('"level":"info"'))).toEqual([])
})

test.skipIf(isMissing)('who does not come by HAProxy’s way is not let in (needs Debian’s haproxy)', async () => {
  const direct = actorOn(connect({ port: portOf('c2s'), host: NODE }))
  await expect(direct.opensStream()).rejects.toThrow('the connection ended')
})
