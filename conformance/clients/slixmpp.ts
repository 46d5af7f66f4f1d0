import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { endProcess, projectRoot } from '../server-process.ts'
import { type ChatClient, type ClientKind, Notebook, type Seat } from './chat-client.ts'

const wireTailChars = 30_000
const loginTimeoutMs = 20_000

/** What a bot reports. */
export type Fact = {
  readonly event: string
  readonly peer?: string
  readonly body?: string
  readonly id?: string
  readonly node?: string
  readonly subscription?: string
  readonly number?: number
  readonly value?: unknown
  readonly error?: string
}

/** The interpreter that has slixmpp, made by conformance/install.sh. */
export const slixmppPython: string = join(projectRoot, '.cache', 'conformance', 'python', 'bin', 'python')

/** A bot on slixmpp, over TCP and STARTTLS, with XEP-0198 and XEP-0184. */
export const slixmpp: ClientKind = {
  name: 'slixmpp',
  door: 'c2s',
  open: async (seat) => (await openBot(seat, 'slixmpp_bot.py')).client,
}

/** A bot, with the process that it is. */
export type Bot = { readonly client: ChatClient; readonly process: ChildProcess }

/** Starts a bot, which is a script beside this file. */
export const openBot = async (seat: Seat, scriptName: string): Promise<Bot> => {
  if (!existsSync(slixmppPython)) throw new Error('slixmpp is not installed: run conformance/install.sh')
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-slixmpp-'))
  const logFile = join(folder, 'log')
  const script = join(projectRoot, 'conformance', 'clients', scriptName)
  const args = [script, `${seat.bareJid}/bot-${randomUUID()}`, seat.password, String(seat.port), seat.caFile, logFile]
  const bot = spawn(slixmppPython, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const notes = new Notebook()
  listen(bot, notes)
  const order = async (fields: Readonly<Record<string, string>>): Promise<void> => {
    bot.stdin?.write(`${JSON.stringify(fields)}\n`)
  }
  const client: ChatClient = {
    bareJid: seat.bareJid,
    ...notes.answers(),
    login: async () => {
      const started = nextFact(bot, 'online')
      await order({ do: 'login' })
      await started
    },
    logout: async () => {
      const ended = nextFact(bot, 'logged-out')
      await order({ do: 'logout' })
      await ended
    },
    subscribe: (peer) => order({ do: 'subscribe', peer }),
    approve: (peer) => order({ do: 'approve', peer }),
    send: (peer, body) => {
      const id = randomUUID()
      notes.sent(id, body)
      return order({ do: 'send', peer, body, id })
    },
    evidence: async () => {
      const log = await readFile(logFile, 'utf8').catch(() => '')
      return `${await notes.answers().evidence()}\n${log.slice(-wireTailChars)}`
    },
    dispose: async () => {
      bot.stdin?.end()
      await endProcess(bot)
      await rm(folder, { recursive: true, force: true })
    },
  }
  return { client, process: bot }
}

/** Tells of each thing a bot reports from now on. */
export const factsOf = (bot: ChildProcess, take: (fact: Fact) => void): void => {
  if (bot.stdout !== null) createInterface(bot.stdout).on('line', (line) => take(JSON.parse(line) as Fact))
}

const nextFact = (bot: ChildProcess, event: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`slixmpp reported no ${event}`)), loginTimeoutMs)
    factsOf(bot, (fact) => {
      if (fact.event !== event) return
      clearTimeout(timer)
      resolve()
    })
  })

const listen = (bot: ChildProcess, notes: Notebook): void => {
  if (bot.stderr !== null) createInterface(bot.stderr).on('line', (line) => notes.wire(`STDERR ${line}`))
  factsOf(bot, (fact) => {
    const { event, peer = '', body = '', id = '', subscription = 'none' } = fact
    notes.wire(JSON.stringify(fact))
    if (event === 'online') notes.online(true)
    else if (event === 'offline') notes.online(false)
    else if (event === 'asked') notes.asked(peer)
    else if (event === 'contact') notes.contact(peer, subscription)
    else if (event === 'available') notes.presence(peer, true)
    else if (event === 'unavailable') notes.presence(peer, false)
    else if (event === 'message') notes.heard(peer, body)
    else if (event === 'receipt') notes.receipt(id)
  })
}
