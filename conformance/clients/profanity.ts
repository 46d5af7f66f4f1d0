import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ChatClient, ClientKind, Seat } from './chat-client.ts'

const run = promisify(execFile)
const pollMs = 100
const screenTimeoutMs = 20_000
const wireTailChars = 30_000

/** Profanity with its keyboard and screen. */
export type Profanity = ChatClient & {
  readonly type: (line: string) => Promise<void>
  /** Waits for the screen to show something. */
  readonly shows: (pattern: RegExp) => Promise<void>
  /** Waits until it has been told what the server can do; it asks right after its login. */
  readonly knowsServer: () => Promise<void>
  /** Quits, forgets what was said, and starts the program again. */
  readonly startAnew: () => Promise<void>
}

/** Profanity in a tmux of its own, over TCP and STARTTLS. */
export const profanity: ClientKind<Profanity> = {
  name: 'Profanity',
  door: 'c2s',
  open: async (seat) => openProfanity(seat),
}

const openProfanity = async (seat: Seat): Promise<Profanity> => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-profanity-'))
  const terminal = terminalIn(folder)
  const start = async (): Promise<void> => {
    await terminal.start(environment(folder, seat.caFile), ['profanity', '-l', 'DEBUG', '-f', join(folder, 'log')])
    await terminal.shows(/Type \/help for help/)
  }
  await start()
  const wire = (): Promise<string> => readFile(join(folder, 'log'), 'utf8').catch(() => '')
  await setUp(terminal, seat)

  return {
    bareJid: seat.bareJid,
    login: async () => {
      await terminal.type('/connect person')
      await until('Profanity to be online', async () => isOnline(await wire()))
    },
    logout: async () => {
      await terminal.type('/disconnect')
      await terminal.shows(/\boffline\b|disconnected/)
    },
    subscribe: (peer) => terminal.type(`/sub request ${peer}`),
    approve: (peer) => terminal.type(`/sub allow ${peer}`),
    send: (peer, body) => terminal.type(`/msg ${peer} ${body}`),
    isOnline: async () => isOnline(await wire()),
    wasAskedBy: async (peer) => received(await wire(), 'presence', peer).some((line) => line.includes('type="subscribe"')),
    subscriptionWith: async (peer) => subscriptionIn(await wire(), peer),
    seesAvailable: async (peer) => lastPresence(await wire(), peer),
    heardFrom: (peer) => chatLog(folder, peer),
    receipted: async () => receiptedOn(await terminal.screen('-e')),
    evidence: async () => `${await terminal.screen()}\n${(await wire()).slice(-wireTailChars)}`,
    type: terminal.type,
    shows: terminal.shows,
    knowsServer: () =>
      until('Profanity to know the server', async () => (await wire()).includes(`connection_features_received ${seat.domain}`)),
    startAnew: async () => {
      await terminal.type('/quit')
      await terminal.end()
      await rm(join(folder, 'log'), { force: true })
      await rm(chatLogs(folder), { recursive: true, force: true })
      await start()
    },
    dispose: async () => {
      await terminal.end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

// Profanity has no setting for a single CA file; OpenSSL reads it from its own variable.
const environment = (folder: string, caFile: string): readonly string[] => [
  `HOME=${folder}`,
  `XDG_CONFIG_HOME=${join(folder, 'config')}`,
  `XDG_DATA_HOME=${join(folder, 'data')}`,
  `XDG_CACHE_HOME=${join(folder, 'cache')}`,
  `SSL_CERT_FILE=${caFile}`,
  'TZ=UTC',
  'LANG=C.UTF-8',
]

const setUp = async (terminal: Terminal, seat: Seat): Promise<void> => {
  const settings = [
    '/reconnect 1',
    '/autoping set 0',
    '/receipts request on',
    '/receipts send on',
    '/logging chat on',
    '/intype off',
  ]
  for (const setting of settings) await terminal.type(setting)
  const account = { jid: seat.bareJid, server: '127.0.0.1', port: String(seat.port), tls: 'force', password: seat.password }
  await terminal.type('/account add person')
  for (const [key, value] of Object.entries(account)) await terminal.type(`/account set person ${key} ${value}`)
  await terminal.shows(/Updated password for account person/)
}

type Terminal = {
  readonly start: (environment: readonly string[], command: readonly string[]) => Promise<void>
  readonly type: (line: string) => Promise<void>
  readonly screen: (...options: readonly string[]) => Promise<string>
  readonly shows: (pattern: RegExp) => Promise<void>
  readonly end: () => Promise<void>
}

const terminalIn = (folder: string): Terminal => {
  const tmux = async (...args: readonly string[]): Promise<string> =>
    (await run('tmux', ['-S', join(folder, 'tmux'), '-f', '/dev/null', ...args])).stdout
  const screen = (...options: readonly string[]) => tmux('capture-pane', '-p', ...options, '-t', 'chat')
  return {
    start: async (environmentVariables, command) => {
      await tmux('new-session', '-d', '-x', '160', '-y', '60', '-s', 'chat', 'env', ...environmentVariables, ...command)
    },
    type: async (line) => {
      await tmux('send-keys', '-t', 'chat', '-l', line)
      await tmux('send-keys', '-t', 'chat', 'Enter')
      // Profanity takes one line of input a turn, and pasted lines would run together.
      await delay(pollMs)
    },
    screen,
    shows: (pattern) => until(`the screen to show ${pattern}`, async () => pattern.test(await screen())),
    end: async () => {
      await tmux('kill-server').catch(() => undefined)
    },
  }
}

const until = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
  const deadlineMs = Date.now() + screenTimeoutMs
  while (!(await isSo())) {
    if (Date.now() > deadlineMs) throw new Error(`waited in vain for ${what}`)
    await delay(pollMs)
  }
}

const received = (log: string, name: string, peer: string): readonly string[] =>
  log.split('\n').filter((line) => line.includes(`RECV: <${name} `) && new RegExp(` from="${peer}["/]`).test(line))

const isOnline = (log: string): boolean => {
  const bound = Math.max(log.lastIndexOf('RECV: <enabled '), log.lastIndexOf('RECV: <resumed '))
  return bound > log.lastIndexOf('SENT: <stream:stream ')
}

const lastPresence = (log: string, peer: string): boolean => {
  const shown = received(log, 'presence', peer).filter((line) => !/ type="(un)?subscribe/.test(line))
  const last = shown.at(-1)
  return last !== undefined && !last.includes(' type="unavailable"')
}

const subscriptionIn = (log: string, peer: string): string => {
  const items = [...log.matchAll(/<item [^>]*>/g)].map(([item]) => item).filter((item) => item.includes(` jid="${peer}"`))
  return / subscription="(\w+)"/.exec(items.at(-1) ?? '')?.[1] ?? 'none'
}

const chatLogs = (folder: string): string => join(folder, 'data', 'profanity', 'chatlogs')

const chatLog = async (folder: string, peer: string): Promise<readonly string[]> => {
  const logs = chatLogs(folder)
  const files = await readdir(logs, { recursive: true }).catch(() => [])
  const own = files.filter((file) => file.includes(`/${peer.replace('@', '_at_')}/`) && file.endsWith('.log')).sort()
  const texts = await Promise.all(own.map((file) => readFile(join(logs, file), 'utf8')))
  const mark = ` - ${peer}: `
  return texts
    .join('')
    .split('\n')
    .filter((line) => line.includes(mark))
    .map((line) => line.slice(line.indexOf(mark) + mark.length))
}

// An own line is red until its receipt comes (the default theme's me and receipt.sent).
const receiptedOn = (screen: string): readonly string[] =>
  screen.split('\n').flatMap((line) => {
    const [, colour, body] = /\x1b\[(\d+)mme: \x1b\[39m(.*)$/.exec(line) ?? []
    return colour === undefined || body === undefined || colour === '31' ? [] : [body.trimEnd()]
  })
