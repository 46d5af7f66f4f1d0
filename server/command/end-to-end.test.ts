import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Actor } from '#server/testing/actor.ts'
import { any, xml } from '#server/testing/match.ts'
import { visit } from '#server/testing/visitor.ts'

/** The program as an operator starts it: a process of its own, its own folder, free ports, the store on disk. */

const MAIN = join(import.meta.dirname, '../main.ts')
const SM = 'urn:xmpp:sm:3'
const password = 'a rose by any name'

let folder: string
let servers: ChildProcessByStdio<null, Readable, null>[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-e2e-'))
  servers = []
  writeFileSync(
    join(folder, 'waxwing.yaml'),
    `data: ./data
listen: { c2s: 0, tls: 0, http: 0, admin: 0 }
login: { allowPlainWithoutTls: true, scramIterations: 4096 }
`,
  )
})
afterEach(async () => {
  for (const server of servers)
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGKILL')
      await once(server, 'exit')
    }
  rmSync(folder, { recursive: true })
})

/** Runs a command to its end and gives the lines it wrote. */
const waxwing = (args: readonly string[], input = ''): Promise<readonly string[]> =>
  new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [MAIN, ...args], { cwd: folder }, (error, stdout, stderr) =>
      error === null ? resolve(stdout.split('\n')) : reject(new Error(`${args.join(' ')}: ${stderr}`)),
    )
    child.stdin?.end(input)
  })

interface Running {
  readonly port: number
  readonly greeting: readonly string[]
  /** Sends SIGTERM; gives the exit code. */
  stop(): Promise<unknown>
}

/** Starts the server; resolves when it says that it is ready. */
const serve = async (): Promise<Running> => {
  const child = spawn(process.execPath, [MAIN, 'serve'], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })
  servers.push(child)
  const greeting: string[] = []
  for await (const line of createInterface(child.stdout)) {
    greeting.push(line)
    if (line.startsWith('Something wrong?')) break
  }
  const port = /localhost:(\d+) {2}STARTTLS/.exec(greeting.join('\n'))?.[1]
  if (port === undefined) throw new Error(`the server did not come up:\n${greeting.join('\n')}`)
  return {
    port: Number(port),
    greeting,
    async stop() {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const [code] = await exited
      return code
    },
  }
}

const logsIn = async (server: Running, name: string): Promise<Actor> => {
  const actor = await visit(server.port)
  await actor.logsIn(name, password)
  await actor.binds('here')
  return actor
}

test('accounts and invitations, of a server that runs and one that does not; what was acknowledged outlives SIGTERM', async () => {
  // Not running: the commands open the store themselves.
  await waxwing(['account', 'add', 'romeo@localhost', '--password-stdin'], `${password}\n`)
  const [link = ''] = await waxwing(['invite', '--account', 'juliet'])
  const token = /^xmpp:juliet@localhost\?register;preauth=([0-9a-f]{32})$/.exec(link)?.[1]
  expect(token, link).toBeDefined()

  const server = await serve()
  expect(server.greeting.join('\n')).toContain('Waxwing serves localhost (this machine only).')
  const [list, invitation] = await Promise.all([
    waxwing(['account', 'list']),
    waxwing(['invite', '--contact', 'romeo@localhost']),
  ])
  expect(list[0]).toMatch(/^romeo@localhost {2}since /)
  const [url = '', uri = ''] = invitation
  expect(uri).toMatch(/^xmpp:romeo@localhost\?roster;preauth=[0-9a-f]{32};ibr=y$/)

  // XEP-0445: the invitation that was made while the server was off.
  const guest = await visit(server.port)
  await guest.opensStream()
  await guest.sends(xml`<iq type="set" id="p1" to="localhost"><preauth xmlns="urn:xmpp:pars:0" token="${token}"/></iq>`)
  await guest.receives(xml`<iq type="result" id="p1" from="localhost"/>`)
  await guest.sends(xml`<iq type="set" id="r1" to="localhost"><query xmlns="jabber:iq:register">
    <username>juliet</username><password>${password}</password></query></iq>`)
  await guest.receives(xml`<iq type="result" id="r1" from="localhost"/>`)

  // The page behind the other one.
  const page = await fetch(url)
  expect(page.status).toBe(200)
  expect(await page.text()).toContain('romeo@localhost invites you to chat')
  const made = await fetch(url, { method: 'POST', body: new URLSearchParams({ username: 'rosaline', password }) })
  expect(await made.text()).toContain('rosaline@localhost')
  expect((await fetch(url)).status).toBe(404)

  const romeo = await logsIn(server, 'romeo')
  await romeo.sends(`<enable xmlns="${SM}"/>`)
  await romeo.receives(xml`<enabled xmlns="${SM}"/>`)
  await romeo.sends(xml`<message type="chat" id="m1" to="juliet@localhost"><body>But soft!</body></message>`)
  await romeo.sends(`<r xmlns="${SM}"/>`)
  await romeo.receives(xml`<a xmlns="${SM}" h="1"/>`)
  const stopped = server.stop()
  // RFC 6120 §4.9.3.20
  await romeo.receives(
    xml`<stream:error xmlns:stream="http://etherx.jabber.org/streams"><system-shutdown xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>`,
  )
  expect(await stopped).toBe(0)

  const restarted = await serve()
  const juliet = await logsIn(restarted, 'juliet')
  await juliet.sends('<presence/>')
  for (let next = await juliet.next(); ; next = await juliet.next())
    if (next.name === 'message') {
      expect(next.attrs).toMatchObject({ from: `romeo@localhost/here`, id: 'm1' })
      expect(next.getChildText('body')).toBe('But soft!')
      break
    }
  const rosaline = await logsIn(restarted, 'rosaline')
  await rosaline.sends(xml`<iq type="get" id="q1"><query xmlns="jabber:iq:roster"/></iq>`)
  await rosaline.receives(xml`<iq type="result" id="q1" from="rosaline@localhost" to="${rosaline.jid}">
    <query xmlns="jabber:iq:roster" ver="${any}"><item jid="romeo@localhost" subscription="both"/></query></iq>`)
  expect(await restarted.stop()).toBe(0)
}, 60_000)

test('what the server keeps is for its own user alone, even in a folder that is open to all', async () => {
  const data = join(folder, 'data')
  mkdirSync(data, { mode: 0o755 })
  await waxwing(['account', 'add', 'romeo@localhost', '--password-stdin'], `${password}\n`)
  const server = await serve()
  const names = readdirSync(data)
  expect(names).toContain('waxwing.db')
  for (const name of names) expect(statSync(join(data, name)).mode & 0o077, name).toBe(0)
  expect(await server.stop()).toBe(0)
}, 60_000)
