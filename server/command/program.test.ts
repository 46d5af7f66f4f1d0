import { EventEmitter } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config } from '#server/base/config.ts'
import { OperationError, type Operations } from '#server/base/operations.ts'
import { recordingOperations } from '#server/testing/recording-operations.ts'
import { controlSocket, serveControl } from './control.ts'
import { run } from './program.ts'
import type { DevOptions, ServerSeam } from './server-seam.ts'

let folder: string
const closers: (() => Promise<void>)[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-command-'))
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  rmSync(folder, { recursive: true })
})

class Host extends EventEmitter {
  readonly pid = 4711
  readonly exits: number[] = []
  exit(code: number): void {
    this.exits.push(code)
  }
}

interface Outcome {
  readonly out: readonly string[]
  readonly err: readonly string[]
  readonly code: number | undefined
  readonly calls: readonly unknown[][]
  readonly started: readonly { readonly config: Config; readonly dev?: DevOptions }[]
  readonly host: Host
  readonly happened: readonly string[]
  readonly logged: readonly string[]
}

const command = async (args: readonly string[], input = '', change: Partial<Operations> = {}): Promise<Outcome> => {
  const out: string[] = []
  const err: string[] = []
  const started: { config: Config; dev?: DevOptions }[] = []
  const happened: string[] = []
  const logged: string[] = []
  const host = new Host()
  const { operations, calls } = recordingOperations()
  const offered = { ...operations, ...change }
  let code: number | undefined
  const server: ServerSeam = {
    async startServer({ config, dev }) {
      started.push({ config, ...(dev === undefined ? {} : { dev }) })
      const ports = { c2s: 1001, tls: 1002, http: 1003, admin: 1004 }
      const stop = async (): Promise<void> => void happened.push('stopped')
      return { ports, caFile: join(config.data, 'ca.pem'), operations: offered, stop }
    },
    async openOperations() {
      happened.push('opened')
      return { operations: offered, close: async () => void happened.push('closed') }
    },
    describeOrder: async () => 'sent: guard blocking',
    modules: [],
  }
  const terminal = {
    input: Readable.from([input]),
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    log: { write: (line: string) => void logged.push(line) },
    exitWith(value: number) {
      code = value
    },
  }
  await run(args, { terminal, host, loadServer: async () => server })
  const isServing = started.length > 0 && code === undefined
  if (isServing)
    closers.push(async () => {
      if (host.exits.length > 0) return
      const exited = new Promise<void>((resolve) => {
        host.exit = () => resolve()
      })
      host.emit('SIGTERM')
      await exited
    })
  return { out, err, code, calls, started, host, happened, logged }
}

const withData = (...args: readonly string[]): readonly string[] => [...args, '--data', folder]

describe('account', () => {
  test('add takes the password from standard input, without the newline at its end', async () => {
    const { out, calls, happened } = await command(
      withData('account', 'add', 'juliet@example.org', '--password-stdin'),
      ' s3cret \n',
    )
    expect(calls).toEqual([['addAccount', 'juliet@example.org', ' s3cret ']])
    expect(out).toEqual(['Added juliet@example.org.'])
    expect(happened).toEqual(['opened', 'closed'])
  })

  test('add takes a bcrypt hash, and nothing that is none', async () => {
    const hash = `$2b$12$${'a'.repeat(53)}`
    const args = withData('account', 'add', 'juliet@example.org', '--bcrypt-hash-stdin')
    expect((await command(args, `${hash}\n`)).calls).toEqual([['importAccount', 'juliet@example.org', hash]])
    const wrong = await command(args, 'hunter2')
    expect(wrong.calls).toEqual([])
    expect(wrong).toMatchObject({ code: 1, err: ['Standard input is not a bcrypt hash such as $2b$12$….'] })
  })

  test.each([
    ['', 'Standard input is empty; a password was expected there.'],
    ['one\ntwo\n', 'Standard input has several lines; one password was expected there.'],
    ['x'.repeat(5000), 'Standard input is longer than a password can be.'],
  ])('add refuses %.10j on standard input', async (input, complaint) => {
    const { err, code, calls } = await command(withData('account', 'add', 'juliet@example.org', '--password-stdin'), input)
    expect({ err, code, calls }).toEqual({ err: [complaint], code: 1, calls: [] })
  })

  test('add without a terminal and without --password-stdin says what to do', async () => {
    const { err, code } = await command(withData('account', 'add', 'juliet@example.org'))
    expect({ err, code }).toEqual({
      err: ['There is no terminal to ask for a password. Pipe it in, with --password-stdin.'],
      code: 1,
    })
  })

  test('password, delete, disable, enable and list do what they say', async () => {
    const jid = 'juliet@example.org'
    expect((await command(withData('account', 'password', jid, '--password-stdin'), 'new')).calls).toEqual([
      ['setPassword', jid, 'new'],
    ])
    expect((await command(withData('account', 'delete', jid))).calls).toEqual([['deleteAccount', jid]])
    expect((await command(withData('account', 'disable', jid))).calls).toEqual([['setDisabled', jid, true]])
    expect((await command(withData('account', 'enable', jid))).calls).toEqual([['setDisabled', jid, false]])
    expect((await command(withData('account', 'list'))).out).toEqual(['juliet@example.org  since 1970-01-01'])
  })

  test('lists the clients of an account, whose names do not command the terminal, and logs one out', async () => {
    const jid = 'juliet@example.org'
    expect((await command(withData('account', 'devices', jid))).out).toEqual([
      'zeiP41HLglIu  online      password  Gajim, Laptop\ufffd\ufffd[2J',
      'HjEEr45_LQr   1970-01-01  token',
    ])
    const { calls, out, err } = await command(withData('account', 'revoke', jid, 'zeiP41HLglIu'))
    expect({ calls, out, err }).toEqual({
      calls: [['revokeDevice', jid, 'zeiP41HLglIu']],
      out: ['Logged zeiP41HLglIu of juliet@example.org out and ended its tokens.'],
      err: ['It knows the password; to keep it out, change that with waxwing account password.'],
    })
    const none = await command(withData('account', 'devices', jid), '', { listDevices: async () => [] })
    expect(none.err).toEqual(['No client of juliet@example.org is known.'])
  })

  test('reports what is refused in words, and closes the store', async () => {
    const { err, code, happened } = await command(withData('account', 'delete', 'nobody@example.org'), '', {
      deleteAccount: () => Promise.reject(new OperationError('There is no account nobody@example.org.')),
    })
    expect({ err, code, happened }).toEqual({
      err: ['There is no account nobody@example.org.'],
      code: 1,
      happened: ['opened', 'closed'],
    })
  })

  test('speaks to the running server when there is one', async () => {
    const { operations, calls } = recordingOperations()
    const control = await serveControl(controlSocket(folder), operations)
    closers.push(() => control.close())
    const { happened } = await command(withData('account', 'delete', 'juliet@example.org'))
    expect(happened).toEqual([])
    expect(calls).toContainEqual(['deleteAccount', 'juliet@example.org'])
  })
})

describe('drain', () => {
  const offering = async (change: Partial<Operations>): Promise<readonly unknown[][]> => {
    const { operations, calls } = recordingOperations()
    const control = await serveControl(controlSocket(folder), { ...operations, ...change })
    closers.push(() => control.close())
    return calls
  }

  test('says how far the server is, and returns when it has handed over', async () => {
    let drained = (): void => undefined
    const drainedAfter: number[] = []
    await offering({
      drain: (graceMs) =>
        new Promise((resolve) => {
          drainedAfter.push(graceMs)
          drained = resolve
        }),
      async drainProgress() {
        // Once the answer has gone.
        setImmediate(drained)
        return { phase: 'leaving', clients: 2 }
      },
    })
    const { out, err, code } = await command(withData('drain', '--grace', '7'))
    expect({ out, err, code, drainedAfter }).toEqual({
      out: ['The server has handed over what it had, and stops.'],
      err: ['Nobody is let in; clients left: 2'],
      code: undefined,
      drainedAfter: [7_000],
    })
  })

  test('gives load balancers five seconds unless it is told otherwise', async () => {
    const calls = await offering({})
    await command(withData('drain'))
    expect(calls).toContainEqual(['drain', 5_000])
    expect(await command(withData('drain', '--grace', 'long'))).toMatchObject({ code: 2 })
  })

  test('is refused where nobody could take over', async () => {
    await offering({ drain: () => Promise.reject(new OperationError('No other node of this server is there.')) })
    expect(await command(withData('drain'))).toMatchObject({ err: ['No other node of this server is there.'], code: 1, out: [] })
  })

  test('is refused where no server runs', async () => {
    expect(await command(withData('drain'))).toMatchObject({ err: [`No server runs on ${folder}.`], code: 1, happened: [] })
  })
})

describe('invite', () => {
  test('invites to a new account, one of a name, or to a contact', async () => {
    const plain = await command(withData('invite'))
    expect(plain.calls).toEqual([['createInvite', { kind: 'account' }]])
    expect(plain.out).toEqual(['xmpp:example.org?register', 'Good until 1970-01-01 00:00 UTC.'])
    expect((await command(withData('invite', '--account', 'romeo', '--expires', '2h'))).calls).toEqual([
      ['createInvite', { kind: 'account', localpart: 'romeo', lifetimeMs: 7_200_000 }],
    ])
    expect((await command(withData('invite', '--contact', 'juliet@example.org'))).calls).toEqual([
      ['createInvite', { kind: 'contact', account: 'juliet@example.org' }],
    ])
    expect(await command(withData('invite', '--expires', 'soon'))).toMatchObject({
      err: ['--expires soon is not a length of time. Write 2h, 7d and the like.'],
      code: 1,
    })
  })
})

describe('check', () => {
  test('says that a file is in order', async () => {
    const file = join(folder, 'mine.yaml')
    writeFileSync(file, 'domain: example.org\n')
    const { out, code } = await command(['check', '--config', file])
    expect(out).toEqual([`${file} is in order.`, `It serves example.org and keeps its data in ${join(folder, 'data')}.`])
    expect(code).toBeUndefined()
  })

  test.each(['check', 'serve', 'doctor'])('%s refuses a wrong file with every problem, and starts nothing', async (name) => {
    const file = join(folder, 'mine.yaml')
    writeFileSync(file, 'domian: example.org\nlisten: { c2s: x }\n')
    const { err, code, started } = await command([name, '--config', file])
    expect(code).toBe(2)
    expect(started).toEqual([])
    expect(err.join('\n').replaceAll(`${folder}/`, '')).toBe(
      'mine.yaml:1:1: domian: there is no such key. Did you mean domain?\n' +
        'mine.yaml:2:16: listen.c2s: "x" is not a whole number. Write a whole number from 0 to 65535, or off.\n' +
        '2 problems; nothing was started.',
    )
  })
})

describe('serve --dev', () => {
  test('prints one line of JSON and nothing else, and removes its folder at the end', async () => {
    const { out, started, host, happened } = await command([
      'serve',
      '--dev',
      '--domain',
      'verona.example',
      '--port',
      '0',
      '--tls-port',
      '0',
      '--http-port',
      '0',
      '--resume-timeout',
      '7',
    ])
    const data = started[0]?.config.data ?? ''
    expect(out).toEqual([
      `{"ready":true,"pid":4711,"domain":"verona.example","ports":{"c2s":1001,"tls":1002,"http":1003},"ca":"${join(data, 'ca.pem')}"}`,
    ])
    expect(started[0]?.dev).toEqual({ isDev: true })
    expect(started[0]?.config).toMatchObject({
      domain: 'verona.example',
      listen: { address: ['127.0.0.1'], httpAddress: '127.0.0.1', c2s: 0, tls: 0, http: 0, admin: 0 },
      limits: { rates: false, stanzaBytes: 262_144 },
      login: { allowPlainWithoutTls: true },
      streamManagement: { resumeTimeout: 7000 },
    })
    expect(existsSync(data)).toBe(true)
    const exited = new Promise<void>((resolve) => {
      host.exit = (code) => {
        host.exits.push(code)
        resolve()
      }
    })
    host.emit('SIGTERM')
    host.emit('SIGTERM')
    await exited
    expect(host.exits).toEqual([0])
    expect(happened).toEqual(['stopped'])
    expect(existsSync(data)).toBe(false)
  })

  test('keeps the folder that was named, and makes the admin or gives it the password', async () => {
    const made = await command(withData('serve', '--dev', '--admin-password', 'hush'))
    expect(made.calls).toEqual([['listAccounts'], ['addAccount', 'admin@localhost', 'hush']])
    expect(made.started[0]?.config.admins).toEqual(['admin@localhost'])
    await closers.pop()?.()
    const again = await command(withData('serve', '--dev', '--domain', 'example.org', '--admin-password', 'hush'), '', {
      listAccounts: async () => [{ jid: 'admin@example.org', createdAtMs: 0, isDisabled: false }],
    })
    expect(again.calls).toEqual([['setPassword', 'admin@example.org', 'hush']])
    expect(existsSync(folder)).toBe(true)
  })

  test('its options are refused without it', async () => {
    const { err, code, started } = await command(withData('serve', '--tls-port', '5'))
    expect({ err, code, started }).toEqual({
      err: ['--tls-port goes with --dev only; write it into waxwing.yaml for a lasting server.'],
      code: 2,
      started: [],
    })
  })
})

describe('serve', () => {
  test('is what happens without a command, and tells where to connect and how to get an account', async () => {
    const { out, started } = await command(['--data', folder], '', {
      status: async () => ({ version: '1', domain: 'localhost', isRunning: true, sessions: 0, accounts: 0 }),
    })
    expect(started).toHaveLength(1)
    expect(started[0]?.dev).toBeUndefined()
    const text = out.join('\n')
    for (const part of [
      'Waxwing serves localhost (this machine only).',
      'localhost:1001  STARTTLS',
      'localhost:1002  TLS',
      'ws://127.0.0.1:1003/xmpp-websocket',
      'account add romeo@localhost',
      'Your first invitation\n    xmpp:example.org?register',
      folder,
    ])
      expect(text).toContain(part)
  })

  test('invites nobody once there are accounts', async () => {
    const { out, calls } = await command(['serve', '--data', folder])
    expect(out.join('\n')).not.toContain('first invitation')
    expect(calls).toEqual([['status']])
  })

  test('a second server on the same data folder is refused, and nothing is started', async () => {
    await command(['serve', '--data', folder])
    const second = await command(['serve', '--data', folder])
    expect(second).toMatchObject({ code: 1, err: [`A server runs on ${folder} already.`], started: [] })
  })

  test('what was started is stopped when the rest fails', async () => {
    const refused = await command(withData('serve', '--dev', '--admin-password', 'x'), '', {
      addAccount: () => Promise.reject(new OperationError('The password is too short.')),
      listAccounts: async () => [],
    })
    expect(refused).toMatchObject({ code: 1, err: ['The password is too short.'], out: [], happened: ['stopped'] })
    expect(existsSync(controlSocket(folder))).toBe(false)
  })

  test('starts without an invitation where no module makes them', async () => {
    const { code, out } = await command(['serve', '--data', folder], '', {
      status: async () => ({ version: '1', domain: 'localhost', isRunning: true, sessions: 0, accounts: 0 }),
      createInvite: () => Promise.reject(new OperationError('this server makes no invitations.')),
    })
    expect(code).toBeUndefined()
    expect(out.join('\n')).not.toContain('first invitation')
  })

  test('an uncaught exception ends it with 1', async () => {
    const { host, logged } = await command(['serve', '--data', folder])
    host.emit('uncaughtException', new Error('a bug'))
    expect(host.exits).toEqual([1])
    expect(JSON.parse(logged.at(-1) ?? '')).toMatchObject({
      level: 'fatal',
      event: 'uncaught-exception',
      error: { message: 'a bug' },
    })
  })
})

describe('the command line', () => {
  test('knows its version and its commands', async () => {
    expect((await command(['--version'])).out.join()).toMatch(/^\d+\.\d+\.\d+$/)
    const { out, code } = await command(['--help'])
    for (const name of ['serve', 'account', 'invite', 'check', 'doctor', 'order'])
      expect(out.join('\n')).toContain(`\n  ${name} `)
    expect(code).toBe(0)
    expect((await command(withData('order'))).out).toEqual(['sent: guard blocking'])
  })

  test.each([
    [['nonsense'], 'There is no command nonsense.'],
    [['serve', '--dev', '--port', '70000'], 'Ports end at 65535.'],
    [['serve', '--dev', '--resume-timeout', '1.5'], 'It must be a whole number.'],
    [['account', 'add'], "missing required argument 'jid'"],
    [['account', 'remove', 'x@y'], "unknown command 'remove'"],
    [['serve', '--dve'], "unknown option '--dve'"],
  ])('%j is refused with 2', async (args, complaint) => {
    const { err, code } = await command(args)
    expect(err.join('\n')).toContain(complaint)
    expect(code).toBe(2)
  })
})
