import { mkdirSync } from 'node:fs'
import { parseJid } from '#stanzas/jid.ts'
import type { Driver } from '#storage/driver.ts'
import { type OpenOptions, openDriver, type StoreConfig } from '#storage/open.ts'
import packageFacts from '../package.json' with { type: 'json' }
import { type Assembly, assemble } from './assembly.ts'
import { pause, systemClock } from './base/clock.ts'
import { type Config, listenAddresses } from './base/config.ts'
import { type Logger, nullLog } from './base/log.ts'
import { Metrics, type Tally } from './base/metrics.ts'
import type { Operations } from './base/operations.ts'
import { randomOctets } from './base/random.ts'
import type { DevOptions, RunningServer } from './command/server-seam.ts'
import type { HttpRoute } from './core/http-route.ts'
import type { HostFacts, Module } from './core/module.ts'
import { streamLimitsOf } from './core/stream-limits.ts'
import { Draining, notRunning } from './draining.ts'
import type { FleetParts } from './fleet.ts'
import { commitMeasures } from './measures.ts'
import { modules } from './modules/index.ts'
import { joinFleet, type Membership } from './nodes.ts'
import { operationsOf } from './operations.ts'
import { Readiness } from './readiness.ts'
import { Certificates } from './transport/certificates.ts'
import { HttpServer } from './transport/http.ts'
import { type ListenerOptions, type Listeners, openListeners, type TransportOptions } from './transport/listener.ts'
import { xmppOverWebSocket } from './transport/websocket.ts'

const WEBSOCKET_PATH = '/xmpp-websocket'
/** A fleet of one process: the kernel's own limit on open files comes first. */
const MAX_CONNECTIONS = 1_000_000
const ACCEPTS_PER_SECOND = 2_000
const ALONE = 'No other node of this server is there, so nobody can take over: stop it as usual, with SIGTERM.'
/** A node that is one no more ends so; whoever starts processes starts it again. */
const EXIT_FENCED = 75

/** What a process has that is one of several (see `startSupervisor`). */
export interface WorkerParts {
  readonly name: string
  readonly fleet: FleetParts
  /** Where the store is offered; without it, the configured one is opened. */
  readonly storeSocket: string | undefined
  /** Is told why it cannot start yet. */
  readonly onWait: (reason: string) => void
}

/** A server that listens, and can be looked at from outside. */
export interface StartedServer extends RunningServer {
  /** Resolves when its store can be written. */
  check(): Promise<void>
  /** Its metrics, to be added to those of others. */
  numbers(): Promise<unknown>
}

/** Starts everything: store, modules, listeners. Resolves when clients can connect; rejects, with nothing left open, when something is wrong. */
export const startServer = async ({
  config,
  log,
  dev,
  worker,
}: {
  readonly config: Config
  readonly log: Logger
  readonly dev?: DevOptions
  readonly worker?: WorkerParts
}): Promise<StartedServer> => {
  const metrics = new Metrics(worker?.name)
  const readiness = new Readiness(systemClock)
  const waits = (reason: string): void => {
    readiness.waits(reason)
    worker?.onWait(reason)
  }
  const stopWatching = metrics.watchProcess()
  const ports: { current: Readonly<Record<string, number>> } = { current: {} }
  const host = hostFacts(config, dev !== undefined, ports)
  const certificates = certificatesOf(config, log)
  const answers = answered(metrics)
  const operators = operatorsServer({ check: () => readiness.check(), text: () => metrics.text() }, metrics, log, answers)
  let driver: Driver | undefined
  let assembly: Assembly | undefined
  let listeners: Listeners | undefined
  let membership: Membership | undefined
  metrics.gauge('lease_renewed', '1 while this node renews its lease in Redis.', () => (membership?.isAway() === false ? 1 : 0))
  try {
    // Operators are answered while the server waits for what it needs.
    listeners = await openListeners(
      operatorsPlaces(config, operators),
      transportOptions(config, { certificates, metrics, log }, worker !== undefined),
    )
    driver = await openStore(config, {
      usedAt: worker?.storeSocket,
      observer: commitMeasures(metrics, systemClock),
      onWait({ message }, pauseMs) {
        log.warn('store-unreachable', { reason: message, triesAgainInMs: pauseMs })
        waits(`it waits for its store: ${message}`)
      },
    })
    const { redis } = config.cluster
    if (redis !== undefined) {
      membership = await joinFleet(config, redis, log, waits)
      // Whatever it has begun is not its own any more: it must not even say goodbye.
      membership.homes.onFenced(() => process.exit(EXIT_FENCED))
    }
    assembly = await assembleFrom(config, driver, host, log, metrics, worker?.fleet ?? membership)
    const open = openWeb(config, assembly, log, answers)
    operators.add(assembly.http.filter(({ audience }) => audience === 'operators'))
    await listeners.add(places(config, assembly, open))
    ports.current = listeners.ports
    readiness.begins(() => check(driver, membership))
    if (worker === undefined) log.info('server-started', { domain: config.domain, ...listeners.ports })
    return running({
      config,
      driver,
      host,
      assembly,
      certificates,
      readiness,
      web: [open, operators],
      listeners,
      log,
      metrics,
      stopWatching,
      worker,
      membership,
    })
  } catch (error) {
    stopWatching()
    listeners?.close()
    operators.close()
    certificates.stop()
    await assembly?.stop()
    await membership?.leave()
    await driver?.close()
    throw error
  }
}

/** Opens the store of a server that does not run, for the command line. */
export const openOperations = async (config: Config): Promise<{ readonly operations: Operations; close(): Promise<void> }> => {
  const driver = await openStore(config)
  const host = hostFacts(config, false, { current: {} })
  const assembly = await assembleFrom(config, driver, host, nullLog, new Metrics())
  return {
    operations: { ...operationsOf(assembly, config, host, false), ...notRunning },
    async close() {
      await assembly.stop()
      await driver.close()
    },
  }
}

/** The hooks of all modules in the order in which they run, as text. */
export const describeOrder = async (config: Config): Promise<string> => {
  const driver = await openDriver({ kind: 'memory' }, { nowMs: () => systemClock.nowMs() })
  const assembly = await assembleFrom(config, driver, hostFacts(config, false, { current: {} }), nullLog, new Metrics())
  const order = assembly.describeOrder().join('\n')
  await assembly.stop()
  await driver.close()
  return order
}

interface StoreOptions extends Omit<OpenOptions, 'nowMs'> {
  /** Where an embedded store is offered to other processes, or is offered by another. */
  readonly offeredAt?: string | undefined
  readonly usedAt?: string | undefined
}

/** Opens the configured store. */
export const openStore = (config: Config, { offeredAt, usedAt, ...options }: StoreOptions = {}): Promise<Driver> => {
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const store: StoreConfig = usedAt === undefined ? storeOf(config, offeredAt) : { kind: 'shared', socket: usedAt }
  return openDriver(store, { nowMs: () => systemClock.nowMs(), ...options })
}

const storeOf = ({ data, ledger, store: { driver, url } }: Config, offeredAt: string | undefined): StoreConfig => {
  const durability = ledger.mode === 'relaxed' ? 'relaxed' : 'full'
  return driver === 'mongodb' && url !== undefined
    ? { kind: 'mongodb', url, durability }
    : { kind: 'sqlite', path: data, durability, ...(offeredAt === undefined ? {} : { socket: offeredAt }) }
}

const hostFacts = (config: Config, isDev: boolean, ports: { readonly current: Readonly<Record<string, number>> }): HostFacts => {
  const origin = (): { readonly scheme: 'http' | 'https'; readonly authority: string } => {
    const { https, http } = ports.current
    return https === undefined
      ? { scheme: 'http', authority: `${config.domain}:${http ?? config.listen.http}` }
      : { scheme: 'https', authority: `${config.domain}:${https}` }
  }
  const httpUrl = (): string => config.listen.publicUrl ?? `${origin().scheme}://${origin().authority}`
  return {
    version: packageFacts.version,
    startedAtMs: systemClock.nowMs(),
    admins: new Set(config.admins.flatMap((admin) => parseJid(admin)?.bare ?? [])),
    httpUrl,
    websocketUrl: () => `${httpUrl().replace(/^http/, 'ws')}${WEBSOCKET_PATH}`,
    linkUrl: () => linkUrl(config, ports.current),
    areRatesLimited: config.limits.rates,
    allowsPlain: config.login.allowPlainWithoutTls,
    limits: streamLimitsOf(config),
    isDev,
  }
}

/** Without TLS and without a proxy in front, a page is for browsers of this machine. A port that the system picks is known only while the server runs. */
const linkUrl = (config: Config, ports: Readonly<Record<string, number>>): string | undefined => {
  const { publicUrl, http, https } = config.listen
  if (publicUrl !== undefined) return publicUrl
  const portOf = (name: string, port: number | 'off'): number | undefined =>
    ports[name] ?? (port === 'off' || port === 0 ? undefined : port)
  const [secure, plain] = [portOf('https', https), portOf('http', http)]
  if (secure !== undefined) return `https://${config.domain}:${secure}`
  return plain !== undefined && config.domain === 'localhost' ? `http://localhost:${plain}` : undefined
}

const assembleFrom = async (
  config: Config,
  driver: Driver,
  host: HostFacts,
  log: Logger,
  metrics: Metrics,
  fleet?: FleetParts,
): Promise<Assembly> =>
  assemble({
    config,
    configOf: (module: Module) => config.modules[module.name] ?? {},
    driver,
    modules,
    host,
    clock: systemClock,
    log,
    metrics,
    decoySecret: await decoySecretOf(driver),
    ...(fleet === undefined ? {} : { fleet }),
  })

/** Made once and kept: if it changed, accounts that do not exist could be told from those that do. */
const decoySecretOf = async (driver: Driver): Promise<Buffer> => {
  const secrets = driver.documents<string>('server/secrets')
  await secrets.putIf('server', 'decoy', randomOctets(32).toString('base64'), undefined)
  return Buffer.from((await secrets.get('server', 'decoy')) ?? '', 'base64')
}

/** The certificate that the configuration names, or one that is made where there is none. */
export const certificatesOf = (config: Config, log: Logger): Certificates => {
  const { certificate, key, minVersion, curves } = config.tls
  return new Certificates({
    domain: config.domain,
    data: config.data,
    files: certificate === undefined || key === undefined ? undefined : { certificate, key },
    minVersion,
    curves,
    clock: systemClock,
    log,
  })
}

const check = async (driver: Driver | undefined, membership: Membership | undefined): Promise<void> => {
  try {
    await driver?.check()
  } catch (error) {
    throw new Error(`the store cannot write: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  await membership?.check()
}

const openWeb = (config: Config, assembly: Assembly, log: Logger, answers: Tally): HttpServer =>
  new HttpServer({
    routes: assembly.http.filter(({ audience }) => audience !== 'operators'),
    upgrades: {
      [WEBSOCKET_PATH]: xmppOverWebSocket({
        accept: assembly.accept,
        clock: systemClock,
        maxFrameBytes: config.limits.stanzaBytes,
      }),
    },
    log,
    onAnswered: (status) => answers.add('public', String(status)),
  })

/** How a server is: one process, or all of several. */
interface Health {
  /** Rejects with what is wrong with its store. */
  check(): Promise<void>
  /** Its numbers in the text format. */
  text(): Promise<string>
}

/** What answers on the operators' port. */
export const operatorsServer = (health: Health, metrics: Metrics, log: Logger, answers: Tally = answered(metrics)): HttpServer =>
  new HttpServer({
    routes: healthRoutes(metrics, health),
    upgrades: {},
    log,
    onAnswered: (status) => answers.add('operators', String(status)),
  })

const answered = (metrics: Metrics): Tally =>
  metrics.tally('http_requests_total', 'HTTP requests that were answered, without upgrades.', ['server', 'status'])

/** `/healthz`: the process answers. `/readyz`: it has what it needs, and its store can write. `/metrics`: its numbers, for Prometheus. */
const healthRoutes = (metrics: Metrics, health: Health): readonly HttpRoute[] => {
  const text = { 'Content-Type': 'text/plain; charset=utf-8' }
  return [
    { method: 'GET', path: '/healthz', handle: (_request, response) => response.send(200, text, 'ok\n') },
    {
      method: 'GET',
      path: '/readyz',
      handle: (_request, response) =>
        health.check().then(
          () => response.send(200, text, 'ready\n'),
          (error: unknown) => response.send(503, text, `${error instanceof Error ? error.message : String(error)}\n`),
        ),
    },
    {
      method: 'GET',
      path: '/metrics',
      handle: async (_request, response) => response.send(200, { 'Content-Type': metrics.contentType }, await health.text()),
    },
  ]
}

const operatorsPlaces = ({ listen: { admin } }: Config, service: HttpServer): readonly ListenerOptions[] =>
  admin === 'off' ? [] : [{ name: 'admin', addresses: ['127.0.0.1'], port: admin, security: 'none', service }]

const places = (config: Config, assembly: Assembly, open: HttpServer): readonly ListenerOptions[] => {
  const { c2s, tls, http, https, httpAddress } = config.listen
  const addresses = listenAddresses(config)
  const xmpp = { kind: 'xmpp', accept: assembly.accept } as const
  const all: readonly (Omit<ListenerOptions, 'port'> & { readonly port: number | 'off' })[] = [
    { name: 'c2s', addresses, port: c2s, security: 'starttls', service: xmpp },
    { name: 'tls', addresses, port: tls, security: 'direct', service: xmpp },
    { name: 'http', addresses: [httpAddress], port: http, security: 'none', service: open },
    { name: 'https', addresses, port: https, security: 'direct', service: open },
  ]
  return all.flatMap((each) => (each.port === 'off' ? [] : [{ ...each, port: each.port }]))
}

/** What all listeners have in common; several processes listen on one port if each is told so. */
export const transportOptions = (
  config: Config,
  parts: { readonly certificates: Certificates; readonly metrics: Metrics; readonly log: Logger },
  reusePort: boolean,
): TransportOptions => ({
  ...parts,
  clock: systemClock,
  limits: {
    connections: MAX_CONNECTIONS,
    connectionsPerAddress: config.limits.rates ? config.limits.connectionsPerAddress : MAX_CONNECTIONS,
    acceptsPerSecond: config.limits.rates ? ACCEPTS_PER_SECOND : MAX_CONNECTIONS,
  },
  proxies: config.proxyProtocol,
  reusePort,
})

interface Parts {
  readonly config: Config
  readonly driver: Driver
  readonly host: HostFacts
  readonly assembly: Assembly
  readonly certificates: Certificates
  readonly readiness: Readiness
  readonly web: readonly HttpServer[]
  readonly listeners: Listeners
  readonly log: Logger
  readonly metrics: Metrics
  readonly stopWatching: () => void
  readonly worker: WorkerParts | undefined
  readonly membership: Membership | undefined
}

/** The order of a graceful stop: no new clients, the streams end, what they caused is written, the store closes. */
const running = ({
  config,
  driver,
  host,
  assembly,
  certificates,
  readiness,
  web,
  listeners,
  log,
  metrics,
  stopWatching,
  worker,
  membership,
}: Parts): StartedServer => {
  const draining = new Draining({
    alone: () => (assembly.hasOthers() ? undefined : ALONE),
    clients: () => assembly.clientCount(),
    announce: (reason) => readiness.begins(() => Promise.reject(new Error(reason))),
    pause,
    close: () => listeners.close(['admin']),
    leave: () => assembly.drain(),
  })
  return {
    ports: listeners.ports,
    ...(certificates.caPath === undefined ? {} : { caFile: certificates.caPath }),
    operations: {
      ...operationsOf(assembly, config, host, true),
      drain: (graceMs) => draining.drain(graceMs),
      drainProgress: () => draining.drainProgress(),
    },
    check: () => readiness.check(),
    numbers: () => metrics.numbers(),
    async stop() {
      listeners.close()
      certificates.stop()
      await assembly.stop()
      await driver.log.flush()
      await membership?.leave()
      for (const server of web) server.close()
      await driver.close()
      stopWatching()
      if (worker === undefined) log.info('server-stopped')
    },
  }
}
