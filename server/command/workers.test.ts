import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Actor } from '#server/testing/actor.ts'
import { any, xml } from '#server/testing/match.ts'
import { visit } from '#server/testing/visitor.ts'

/** DESIGN §8: a server of several processes, as an operator starts it. */

const MAIN = join(import.meta.dirname, '../main.ts')
const SM = 'urn:xmpp:sm:3'
const password = 'a rose by any name'

const WORKERS = ['worker-1', 'worker-2'] as const

let folder: string
let servers: Server[]
const configure = (listen: string): void =>
  writeFileSync(
    join(folder, 'waxwing.yaml'),
    `data: ./data
workers: 2
listen: { ${listen}, tls: 0, http: 0, admin: 0 }
login: { allowPlainWithoutTls: true, scramIterations: 4096 }
`,
  )
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-workers-'))
  servers = []
  configure('c2s: 0')
})
afterEach(async () => {
  for (const server of servers) await server.kill()
  rmSync(folder, { recursive: true })
})

const waxwing = (args: readonly string[], input = ''): Promise<readonly string[]> =>
  new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [MAIN, ...args], { cwd: folder }, (error, stdout, stderr) =>
      error === null ? resolve(stdout.split('\n')) : reject(new Error(stderr)),
    )
    child.stdin?.end(input)
  })

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

interface LogLine {
  readonly event: string
  readonly worker?: string
  readonly pid?: number
}

class Server {
  readonly log: LogLine[] = []
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #exited: Promise<readonly unknown[]>
  #greeting = ''

  private constructor() {
    this.#child = spawn(process.execPath, [MAIN, 'serve'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#exited = once(this.#child, 'exit')
    createInterface(this.#child.stderr).on('line', (line) => this.log.push(JSON.parse(line)))
    servers.push(this)
  }

  static async start(): Promise<Server> {
    const server = new Server()
    for await (const line of createInterface(server.#child.stdout)) {
      server.#greeting += `${line}\n`
      if (line.startsWith('Something wrong?')) break
    }
    return server
  }

  get port(): number {
    return Number(/localhost:(\d+) {2}STARTTLS/.exec(this.#greeting)?.[1])
  }

  /** The processes that were started for a worker so far. */
  pidsOf(worker: string): readonly number[] {
    return this.log.flatMap((line) => (line.event === 'worker-started' && line.worker === worker ? (line.pid ?? []) : []))
  }

  async ask(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const admin = /127\.0\.0\.1:(\d+)\/metrics/.exec(this.#greeting)?.[1]
    const response = await fetch(`http://127.0.0.1:${admin}${path}`)
    return { status: response.status, text: await response.text() }
  }

  async #connections(): Promise<readonly number[]> {
    const { text } = await this.ask('/metrics')
    return WORKERS.map((worker) => Number(new RegExp(`^waxwing_connections{process="${worker}"} (\\d+)$`, 'm').exec(text)?.[1]))
  }

  /** A connection that this worker has taken; the kernel chooses, so there may have to be many. */
  async visit(worker: (typeof WORKERS)[number]): Promise<Actor> {
    for (;;) {
      const before = await this.#connections()
      const actor = await visit(this.port)
      let now = before
      while (now.join() === before.join()) now = await this.#connections()
      const index = WORKERS.indexOf(worker)
      if (now[index] !== before[index]) return actor
    }
  }

  /** Logs in over this worker. */
  async logsIn(worker: (typeof WORKERS)[number], name: string, resource: string): Promise<Actor> {
    const actor = await this.visit(worker)
    await actor.logsIn(name, password)
    await actor.binds(resource)
    return actor
  }

  async stop(): Promise<unknown> {
    this.#child.kill('SIGTERM')
    return this.exitCode()
  }

  async exitCode(): Promise<unknown> {
    return (await this.#exited)[0]
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }
}

test('two processes share the ports and the accounts; one that is killed comes back, and SIGTERM ends all', async () => {
  const server = await Server.start()
  expect((await server.ask('/healthz')).status).toBe(200)
  expect((await server.ask('/readyz')).status).toBe(200)
  await waxwing(['account', 'add', 'romeo@localhost', '--password-stdin'], `${password}\n`)
  expect((await waxwing(['account', 'list']))[0]).toMatch(/^romeo@localhost/)
  for (const worker of WORKERS) await server.logsIn(worker, 'romeo', worker)
  expect((await server.ask('/metrics')).text).toMatch(/^waxwing_workers 2$/m)
  expect((await server.ask('/metrics')).text).toMatch(/^waxwing_sessions 2$/m)

  const romeo = await server.logsIn('worker-2', 'romeo', 'orchard')
  await waxwing(['account', 'add', 'juliet@localhost', '--password-stdin'], `${password}\n`)
  await romeo.sends(`<enable xmlns="${SM}"/>`)
  await romeo.receives(xml`<enabled xmlns="${SM}"/>`)
  await romeo.sends(xml`<message type="chat" id="m1" to="juliet@localhost"><body>But soft!</body></message>`)
  await romeo.sends(`<r xmlns="${SM}"/>`)
  await romeo.receives(xml`<a xmlns="${SM}" h="1"/>`)

  const killed = WORKERS.map((worker) => server.pidsOf(worker)[0] ?? 0)
  for (const pid of killed) process.kill(pid, 'SIGKILL')
  await expect.poll(() => WORKERS.map((worker) => server.pidsOf(worker).length), { timeout: 20_000 }).toEqual([2, 2])
  await expect.poll(async () => (await server.ask('/readyz')).status, { timeout: 30_000 }).toBe(200)
  expect(server.log.filter(({ event }) => event === 'worker-ended')).toMatchObject([{ signal: 'SIGKILL' }, { signal: 'SIGKILL' }])

  // P4: what was acknowledged outlives the process that did it.
  const juliet = await server.logsIn('worker-1', 'juliet', 'balcony')
  await juliet.sends('<presence/>')
  for (let next = await juliet.next(); ; next = await juliet.next()) {
    if (next.name !== 'message') continue
    expect(next.attrs).toMatchObject({ from: 'romeo@localhost/orchard', id: 'm1' })
    break
  }
  expect(await server.stop()).toBe(0)
  const pids = WORKERS.flatMap((worker) => server.pidsOf(worker))
  expect(pids.filter(isRunning)).toEqual([])
  const events = server.log.map(({ event }) => event)
  for (const once of ['certificate-made', 'server-started', 'stopping', 'server-stopped'])
    expect(events.filter((event) => event === once)).toEqual([once])
}, 90_000)

test('clients of different processes talk to each other, and go on when the process of one is killed', async () => {
  for (const name of ['romeo', 'juliet'])
    await waxwing(['account', 'add', `${name}@localhost`, '--password-stdin'], `${password}\n`)
  const server = await Server.start()
  const romeo = await server.logsIn('worker-1', 'romeo', 'orchard')
  const juliet = await server.logsIn('worker-2', 'juliet', 'balcony')
  await romeo.sends(xml`<message type="chat" id="m1" to="${juliet.jid}"><body>But soft!</body></message>`)
  await juliet.receives(xml`<message type="chat" id="m1" from="${romeo.jid}" to="${juliet.jid}"><body>But soft!</body>
    <stanza-id xmlns="urn:xmpp:sid:0" by="juliet@localhost" id="${any}"/></message>`)
  await juliet.sends(xml`<message type="chat" id="m2" to="${romeo.jid}"><body>Ay me!</body></message>`)
  await romeo.receives(xml`<message type="chat" id="m2" from="${juliet.jid}" to="${romeo.jid}"><body>Ay me!</body>
    <stanza-id xmlns="urn:xmpp:sid:0" by="romeo@localhost" id="${any}"/></message>`)

  process.kill(server.pidsOf('worker-1')[0] ?? 0, 'SIGKILL')
  await expect.poll(() => server.pidsOf('worker-1').length, { timeout: 20_000 }).toBe(2)
  await juliet.sends(xml`<message type="chat" id="m3" to="romeo@localhost"><body>How art thou out of breath?</body></message>`)
  await juliet.sends(xml`<iq type="get" id="p1" to="localhost"><ping xmlns="urn:xmpp:ping"/></iq>`)
  await juliet.receives(xml`<iq type="result" id="p1" from="localhost" to="${juliet.jid}"/>`)
  const again = await server.logsIn('worker-2', 'romeo', 'orchard')
  await again.sends('<presence/>')
  for (let next = await again.next(); ; next = await again.next()) if (next.attrs.id === 'm3') break
  expect(await server.stop()).toBe(0)
}, 60_000)

test('a drain tells load balancers first, then ends all, and clients resume when the server is there again', async () => {
  const server = await Server.start()
  await waxwing(['account', 'add', 'romeo@localhost', '--password-stdin'], `${password}\n`)
  const romeo = await server.logsIn('worker-2', 'romeo', 'orchard')
  await romeo.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const [enabled] = await romeo.receives(xml`<enabled xmlns="${SM}" id="${any}" resume="true" max="${any}"/>`)
  const drained = waxwing(['drain', '--grace', '2'])
  await expect
    .poll(() => server.ask('/readyz'), { interval: 20, timeout: 30_000 })
    .toEqual({ status: 503, text: 'this node is being drained\n' })
  expect(await drained).toEqual(['The server has handed over what it had, and stops.', ''])
  expect(await server.exitCode()).toBe(0)
  expect(WORKERS.flatMap((worker) => server.pidsOf(worker)).filter(isRunning)).toEqual([])

  const next = await Server.start()
  const again = await next.visit('worker-1')
  await again.logsIn('romeo', password)
  await again.sends(`<resume xmlns="${SM}" previd="${enabled?.attrs.id}" h="0"/>`)
  await again.receives(xml`<resumed xmlns="${SM}" previd="${any}" h="0"/>`)
  expect(await next.stop()).toBe(0)
}, 60_000)

test('without its supervisor no process goes on, and the next server finds everything as it was', async () => {
  const server = await Server.start()
  await waxwing(['account', 'add', 'romeo@localhost', '--password-stdin'], `${password}\n`)
  const pids = WORKERS.flatMap((worker) => server.pidsOf(worker))
  expect(pids.filter(isRunning)).toEqual(pids)
  await server.kill()
  await expect.poll(() => pids.filter(isRunning), { timeout: 10_000 }).toEqual([])
  const next = await Server.start()
  await next.logsIn('worker-2', 'romeo', 'orchard')
  expect(await next.stop()).toBe(0)
}, 60_000)

test('a port that another server has is not shared with it', async () => {
  const server = await Server.start()
  const { port } = server
  configure(`c2s: ${port}`)
  const refused = waxwing(['serve', '--data', join(folder, 'other')])
  await expect(refused).rejects.toThrow(`address already in use 127.0.0.1:${port}`)
  expect(await server.stop()).toBe(0)
}, 60_000)
