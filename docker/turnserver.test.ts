import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'

const CONFIGURATION = join(import.meta.dirname, 'turnserver.conf')
const isMissing = spawnSync('turnserver', ['--help']).error !== undefined

let turnserver: ChildProcessByStdio<null, Readable, null> | undefined
afterEach(async () => {
  if (turnserver === undefined || turnserver.exitCode !== null) return
  turnserver.kill('SIGKILL')
  await once(turnserver, 'exit')
})

test.skipIf(isMissing)('coturn knows every key of turnserver.conf (needs Debian’s coturn)', () => {
  const { stdout, stderr } = spawnSync('turnserver', ['--help'], { encoding: 'utf8' })
  const known = new Set([...`${stdout}${stderr}`.matchAll(/--([a-z0-9-]+)/g)].map(([, name]) => name))
  const written = readFileSync(CONFIGURATION, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace(/=.*/, ''))
  expect(written.filter((key) => !known.has(key))).toEqual([])
})

/** RFC 8489 §5, §15.2: what a client sends to learn its address, and the attribute of the answer that has it. */
const MAGIC = 0x2112a442
const XOR_MAPPED_ADDRESS = 0x0020

const askForAddress = async (port: number): Promise<Buffer> => {
  const socket = createSocket('udp4')
  try {
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    const header = Buffer.alloc(8)
    header.writeUInt16BE(1, 0)
    header.writeUInt32BE(MAGIC, 4)
    const request = Buffer.concat([header, randomBytes(12)])
    for (;;) {
      socket.send(request, port, '127.0.0.1')
      // RFC 8489 §6.2.1: UDP may lose it, so it is sent again.
      const answer = await once(socket, 'message', { signal: AbortSignal.timeout(500) }).catch(() => undefined)
      if (answer !== undefined) return answer[0]
    }
  } finally {
    socket.close()
  }
}

test.skipIf(isMissing)(
  'RFC 8489 §2: coturn starts from turnserver.conf and tells a client its address (needs Debian’s coturn)',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'waxwing-coturn-'))
    try {
      const free = createSocket('udp4').bind(0, '127.0.0.1')
      await once(free, 'listening')
      const { port } = free.address()
      free.close()
      const places = [`--listening-port=${port}`, '--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1']
      const files = [`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'users')}`]
      turnserver = spawn('turnserver', ['-v', '-c', CONFIGURATION, '--static-auth-secret=s', ...places, ...files], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const { stdout } = turnserver
      let said = ''
      // It is read to the end: who writes to a pipe that nobody reads is ended.
      stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
      while (!/IPv4\. UDP listener opened on: 127\.0\.0\.1/.test(said)) await once(stdout, 'data')
      expect(said).not.toMatch(/bad configuration|unrecognized|ERROR/i)
      const answer = await askForAddress(port)
      expect(answer.readUInt16BE(0)).toBe(0x0101)
      expect(answer.readUInt16BE(20)).toBe(XOR_MAPPED_ADDRESS)
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
