import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest'
import { projectRoot, type ServerProcess } from '../server-process.ts'
import { startServer } from '../start-server.ts'
import type { ChatClient, ClientKind } from './chat-client.ts'

/** The password of every foreign client's account. */
export const password = 'M0ntague-and-Capulet'
const waitMs = 30_000

/** Who plays, by the localpart of their accounts; a second client of one account has a name of its own behind a slash. */
export type Cast = Readonly<Record<string, ClientKind>>

/** The clients of a cast. */
export type Company<Roles extends Cast> = { readonly [Role in keyof Roles]: Awaited<ReturnType<Roles[Role]['open']>> }

/** Tells of one scene of a play. */
export type Scene<Roles extends Cast> = (title: string, play: (company: Company<Roles>) => Promise<void>) => void

/** Scenes that foreign clients play on a server of their own, one after the other; behind one that failed the others are not played. */
export const playScenes = <const Roles extends Cast>(title: string, cast: Roles, tell: (scene: Scene<Roles>) => void): void => {
  describe(title, () => {
    let server: ServerProcess
    const clients: Record<string, ChatClient> = {}
    let hasFailed = false
    beforeAll(async () => {
      server = await startServer()
      for (const [role, kind] of Object.entries(cast)) {
        const bareJid = `${role.split('/')[0]}@${server.domain}`
        if (!role.includes('/')) await server.addAccount(bareJid, password)
        const port = server.ports[kind.door]
        clients[role] = await kind.open({ bareJid, password, domain: server.domain, port, caFile: server.caFile })
      }
    }, 60_000)
    afterAll(async () => {
      await Promise.allSettled(Object.values(clients).map((client) => client.dispose()))
      await server?.stop()
    }, 60_000)
    tell((what, play) =>
      it(what, async () => {
        if (hasFailed) throw new Error('not played: an earlier scene failed')
        onTestFailed(async () => {
          hasFailed = true
          await keepEvidence(`${title} ${what}`, clients, server)
        })
        // The cast was opened kind by kind, which the types of a record cannot say.
        await play(clients as Company<Roles>)
      }),
    )
  })
}

/** Waits for what a foreign client is to see. */
export const expectSoon = <T>(ask: () => Promise<T> | T) => expect.poll(ask, { timeout: waitMs, interval: 100 })

/** Lets one client subscribe to another's presence, who approves. */
export const befriend = async (asker: ChatClient, asked: ChatClient): Promise<void> => {
  await asker.subscribe(asked.bareJid)
  await expectSoon(() => asked.wasAskedBy(asker.bareJid)).toBe(true)
  await asked.approve(asker.bareJid)
}

/** Logs both in, and has each see the other. */
export const meet = async (one: ChatClient, other: ChatClient): Promise<void> => {
  await Promise.all([one.login(), other.login()])
  await befriend(one, other)
  await befriend(other, one)
  await expectSoon(() => one.seesAvailable(other.bareJid)).toBe(true)
  await expectSoon(() => other.seesAvailable(one.bareJid)).toBe(true)
}

/** Keeps what clients and server saw of a scene that failed. */
export const keepEvidence = async (
  title: string,
  clients: Readonly<Record<string, ChatClient>>,
  server: ServerProcess,
): Promise<void> => {
  const folder = join(projectRoot, 'conformance', 'reports', 'clients')
  await mkdir(folder, { recursive: true })
  const parts = [title]
  for (const [name, client] of Object.entries(clients)) parts.push(name.toUpperCase(), await client.evidence())
  parts.push('SERVER', server.logTail())
  await writeFile(join(folder, `${title.replace(/\W+/g, '-').slice(0, 150)}.txt`), parts.join('\n\n'))
}
