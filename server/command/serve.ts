import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Clock, systemClock } from '#server/base/clock.ts'
import type { Config, Overrides } from '#server/base/config.ts'
import { createLog, type Logger } from '#server/base/log.ts'
import type { Operations } from '#server/base/operations.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, EXIT_USAGE, readConfiguration } from './configuration.ts'
import { connectControl, controlSocket, serveControl } from './control.ts'
import type { RunningServer, ServerSeam } from './server-seam.ts'
import { CommandError, type Terminal } from './terminal.ts'
import { welcome } from './welcome.ts'

/** The options of `waxwing serve`; all but the first three go with `--dev`. */
export interface ServeOptions extends ConfigurationOptions {
  readonly dev?: boolean
  readonly domain?: string
  readonly port?: number
  readonly tlsPort?: number
  readonly httpPort?: number
  readonly adminPassword?: string
  readonly resumeTimeout?: number
}

/** What `serve` needs of the process that it runs in. */
export interface Host {
  readonly pid: number
  on(event: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
  on(event: 'uncaughtException', listener: (error: Error) => void): unknown
  exit(code: number): void
}

/** Starts a server and returns once it listens; it then runs until a signal. */
export const serve = async (
  terminal: Terminal,
  server: ServerSeam,
  options: ServeOptions,
  host: Host,
  clock: Clock = systemClock,
): Promise<void> => {
  if (options.dev !== true) refuseDevOptions(options)
  const temporary = options.dev === true && options.data === undefined ? mkdtempSync(join(tmpdir(), 'waxwing-dev-')) : undefined
  const cleanUp = (): void => {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true })
  }
  try {
    const config = configure(server, options, temporary)
    const log = createLog({ ...config.log, to: terminal.log })
    host.on('uncaughtException', (error) => {
      log.fatal('uncaught-exception', { error })
      cleanUp()
      host.exit(1)
    })
    const isFirstRun = !existsSync(config.data)
    const stoppable: Stoppable = { stop: () => Promise.resolve() }
    onSignals(host, clock, log, stoppable, cleanUp)
    const end = (code: number): void => {
      cleanUp()
      host.exit(code)
    }
    const running = await start(server, config, log, options, end)
    stoppable.stop = running.stop
    if (options.dev === true) terminal.out(readyLine(host.pid, config, running.server))
    else for (const line of await welcome(config, running.server, isFirstRun)) terminal.out(line)
  } catch (error) {
    cleanUp()
    throw error
  }
}

const DEV_ONLY = ['domain', 'port', 'tlsPort', 'httpPort', 'adminPassword', 'resumeTimeout'] as const

const refuseDevOptions = (options: ServeOptions): void => {
  const stray = DEV_ONLY.find((name) => options[name] !== undefined)
  if (stray === undefined) return
  const flag = stray.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  throw new CommandError(`--${flag} goes with --dev only; write it into waxwing.yaml for a lasting server.`, EXIT_USAGE)
}

const configure = (server: ServerSeam, options: ServeOptions, temporary: string | undefined): Config => {
  if (options.dev !== true) return readConfiguration(configurationFile(options), server.modules, dataOverride(options))
  // A throwaway server must come out the same wherever it is started: only a file that was named is read.
  return readConfiguration(options.config, server.modules, devOverrides(options, resolve(temporary ?? options.data ?? '')))
}

const ADMIN = 'admin'

const devOverrides = (options: ServeOptions, data: string): Overrides => {
  const { domain, port, tlsPort, httpPort, resumeTimeout } = options
  return {
    data,
    ...(domain === undefined ? {} : { domain }),
    listen: {
      address: ['127.0.0.1'],
      httpAddress: '127.0.0.1',
      https: 'off',
      admin: 0,
      ...(port === undefined ? {} : { c2s: port }),
      ...(tlsPort === undefined ? {} : { tls: tlsPort }),
      ...(httpPort === undefined ? {} : { http: httpPort }),
    },
    // A test run may prepare a connection long before it uses it.
    limits: { rates: false, loginTimeout: '10m' },
    login: { allowPlainWithoutTls: true },
    ...(options.adminPassword === undefined ? {} : { admins: [`${ADMIN}@${domain ?? 'localhost'}`] }),
    ...(resumeTimeout === undefined ? {} : { streamManagement: { resumeTimeout: `${resumeTimeout}s` } }),
  }
}

const start = async (
  server: ServerSeam,
  config: Config,
  log: Logger,
  options: ServeOptions,
  end: (code: number) => void,
): Promise<{ readonly server: RunningServer; stop(): Promise<void> }> => {
  if ((await connectControl(controlSocket(config.data))) !== undefined)
    throw new CommandError(`A server runs on ${config.data} already.`)
  const running = await server.startServer({ config, log, ...(options.dev === true ? { dev: { isDev: true } } : {}) })
  let control: { close(): Promise<void> } | undefined
  let stopping: Promise<void> | undefined
  const stopServer = (): Promise<void> => (stopping ??= running.stop())
  const stop = async (): Promise<void> => {
    await control?.close()
    await stopServer()
  }
  const operations: Operations = {
    ...running.operations,
    async drain(graceMs) {
      await running.operations.drain(graceMs)
      log.info('drained')
      const over = stopServer()
      // Whoever asked is told before the socket closes.
      over.then(
        () => control?.close().then(() => end(0)),
        (error: unknown) => {
          log.fatal('stop-failed', { error })
          end(1)
        },
      )
      await over
    },
  }
  try {
    control = await serveControl(controlSocket(config.data), operations)
    if (options.adminPassword !== undefined) await ensureAdmin(running.operations, config.domain, options.adminPassword)
    return { server: running, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const ensureAdmin = async (operations: Operations, domain: string, password: string): Promise<void> => {
  const jid = `${ADMIN}@${domain}`
  const known = await operations.listAccounts()
  if (known.some((account) => account.jid === jid)) await operations.setPassword(jid, password)
  else await operations.addAccount(jid, password)
}

const readyLine = (pid: number, config: Config, { ports, caFile }: RunningServer): string =>
  JSON.stringify({
    ready: true,
    pid,
    domain: config.domain,
    ports: { c2s: ports.c2s, tls: ports.tls, http: ports.http },
    ca: caFile,
  })

/** Signals this close are one wish: a service manager sends SIGTERM to the launcher and to the server, in milliseconds. */
const SAME_WISH_MS = 500

/** What a signal stops: nothing while the server is still starting. */
interface Stoppable {
  stop: () => Promise<void>
}

const onSignals = (host: Host, clock: Clock, log: Logger, stoppable: Stoppable, cleanUp: () => void): void => {
  let firstAtMs: number | undefined
  const onSignal = (signal: string) => (): void => {
    const nowMs = clock.monotonicMs()
    if (firstAtMs !== undefined) {
      if (nowMs - firstAtMs < SAME_WISH_MS) return
      log.warn('stopped-at-once', { signal })
      cleanUp()
      host.exit(1)
      return
    }
    firstAtMs = nowMs
    log.info('stopping', { signal })
    stoppable.stop().then(
      () => {
        cleanUp()
        host.exit(0)
      },
      (error: unknown) => {
        log.fatal('stop-failed', { error })
        cleanUp()
        host.exit(1)
      },
    )
  }
  host.on('SIGTERM', onSignal('SIGTERM'))
  host.on('SIGINT', onSignal('SIGINT'))
}
