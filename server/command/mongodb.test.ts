import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { MongoClient } from 'mongodb'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { mongoServer } from '#storage/contract/mongodb-server.ts'

/** The program with a database of its own, as an operator moves to it. */

const MAIN = join(import.meta.dirname, '../main.ts')
const server = await mongoServer()
afterAll(() => server?.stop())

let folder: string
let url: string
let running: ChildProcess | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-mongodb-e2e-'))
})
afterEach(async () => {
  if (running?.exitCode === null && running.signalCode === null) {
    running.kill('SIGKILL')
    await once(running, 'exit')
  }
  running = undefined
  rmSync(folder, { recursive: true })
})

const configure = (store: string): void =>
  writeFileSync(
    join(folder, 'waxwing.yaml'),
    `data: ./data\nlisten: { c2s: 0, tls: off, http: off, admin: 0 }\nlogin: { scramIterations: 4096 }\n${store}\n`,
  )

/** Runs a command to its end; gives its exit code and everything it wrote. */
const waxwing = (args: readonly string[], input = ''): Promise<{ readonly code: number; readonly said: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [MAIN, ...args], { cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, said: stdout + stderr }),
    )
    child.stdin?.end(input)
  })

/** Starts the server and gives the first line of its log that has this event. */
const serveUntil = async (event: string): Promise<Record<string, unknown>> => {
  const child = spawn(process.execPath, [MAIN, 'serve'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  running = child
  for await (const line of createInterface(child.stderr)) {
    const said: Record<string, unknown> = line.startsWith('{') ? JSON.parse(line) : {}
    if (Object.values(said).includes(event)) return said
  }
  throw new Error(`the server ended without saying ${event}`)
}

test('a MongoDB that is not there is waited for, and its password is not logged', async () => {
  const nobody = createServer()
  nobody.listen(0, '127.0.0.1')
  await once(nobody, 'listening')
  const address = nobody.address()
  nobody.close()
  const port = typeof address === 'object' ? address?.port : 0
  configure(`store: { driver: mongodb, url: "mongodb://romeo:rosebud@127.0.0.1:${port}/" }`)
  const said = await serveUntil('store-unreachable')
  expect(said.reason).toMatch(/^MongoDB cannot be reached: /)
  expect(said.triesAgainInMs).toBe(500)
  expect(JSON.stringify(said)).not.toContain('rosebud')
}, 40_000)

describe.skipIf(server === undefined)(
  `the program, with ${server?.name ?? 'a MongoDB that is not here (sh conformance/install.sh)'}`,
  () => {
    beforeEach(() => {
      url = server?.newUrl() ?? ''
    })
    afterEach(async () => {
      const client = new MongoClient(url)
      await client.db(new URL(url).pathname.slice(1)).dropDatabase()
      await client.close()
    })

    test('accounts move from the embedded store to MongoDB, and the server serves them', async () => {
      configure('')
      expect((await waxwing(['account', 'add', 'juliet@localhost', '--password-stdin'], 'a rose by any name')).code).toBe(0)
      const migrated = await waxwing(['migrate', '--from', 'embedded', '--to', 'mongodb', '--url', url])
      expect(migrated.said).toMatch(/compared (\d+) of \1 \(100 %\)/)
      expect(migrated.said).toMatch(/^1 accounts, \d+ documents, \d+ expiring values and 0 messages are in MongoDB/m)
      expect(migrated.code).toBe(0)

      configure(`store: { driver: mongodb, url: "${url}" }`)
      rmSync(join(folder, 'data'), { recursive: true })
      expect((await waxwing(['account', 'list'])).said).toContain('juliet@localhost')
      await serveUntil('server-started')
      expect((await waxwing(['account', 'add', 'romeo@localhost', '--password-stdin'], 'but soft what light')).code).toBe(0)
      expect((await waxwing(['account', 'list'])).said).toContain('romeo@localhost')
    }, 60_000)

    test.each([
      [['--from', 'mongodb', '--to', 'embedded'], 2, 'What there is: --from embedded --to mongodb.'],
      [['--from', 'embedded', '--to', 'mongodb'], 2, 'Say where MongoDB is: --url, or store.url in the configuration.'],
      [['--from', 'embedded', '--to', 'mongodb', '--url', 'mongodb://127.0.0.1'], 1, 'There is no embedded store in'],
    ])('migrate %j is refused', async (args, code, said) => {
      configure('')
      const refused = await waxwing(['migrate', ...args])
      expect(refused.said).toContain(said)
      expect(refused.code).toBe(code)
    })
  },
)
