import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Driver } from '#storage/driver.ts'
import { type Clock, pause, systemClock } from './base/clock.ts'
import { type Config, listenAddresses } from './base/config.ts'
import type { Logger } from './base/log.ts'
import { Metrics } from './base/metrics.ts'
import type { DrainOperations, Operations, ServerStatus } from './base/operations.ts'
import { socketAddress } from './base/socket-address.ts'
import { HomeRegistrar } from './cluster/local-homes.ts'
import { openUnixBus } from './cluster/unix-bus.ts'
import type { DevOptions, RunningServer } from './command/server-seam.ts'
import type { Bus, NodeId } from './core/bus.ts'
import { Draining } from './draining.ts'
import { certificatesOf, openStore, operatorsServer, transportOptions } from './server.ts'
import type { Certificates } from './transport/certificates.ts'
import { checkPortsAreFree } from './transport/free-ports.ts'
import { type Listeners, openListeners } from './transport/listener.ts'
import type { WorkerQuestion } from './worker-messages.ts'
import { WorkerProcess } from './worker-process.ts'

/** A worker that ended is started again after this; each time that it does not live for long, after twice as much. */
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000
const LONG_LIFE_MS = 60_000
/** Numbers and health are of this moment, or not worth waiting for. */
const LOOK_MS = 3_000

/**
 * Starts several processes that serve clients on the same ports (DESIGN §8). This one owns the embedded store and the directory of homes, answers operators, and starts a worker
 * again that has died; its own end ends all. Resolves when all serve.
 */
export const startSupervisor = async ({
  config,
  log,
  dev,
}: {
  readonly config: Config
  readonly log: Logger
  readonly dev?: DevOptions
}): Promise<RunningServer> => {
  const metrics = new Metrics('supervisor')
  const stopWatching = metrics.watchProcess()
  const undo: (() => void | Promise<void>)[] = [stopWatching]
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const certificates = certificatesOf(config, log)
    undo.push(() => certificates.stop())
    await checkPortsAreFree(placesOf(config))
    let workers: Workers | undefined
    const listeners = await listenForOperators(config, () => workers, metrics, certificates, log)
    undo.push(() => listeners?.close())
    const store = await ownedStore(config)
    undo.push(() => store?.driver.close())
    const [busFolder, self] = [join(config.data, 'bus'), { name: 'supervisor', epoch: systemClock.nowMs() }]
    const bus = await openBus(busFolder, self, log)
    undo.push(() => bus.close())
    const processes = new Workers({
      config: workerConfig(config, certificates),
      dev,
      registrar: self,
      busFolder,
      storeSocket: store?.socket,
      clock: systemClock,
      log,
      metrics,
    })
    undo.push(() => processes.stop())
    workers = processes
    const ports = await processes.start()
    const all = { ...ports, ...listeners?.ports }
    // All of them end, so there is nobody to be spared: stopping is all that is left to do.
    const draining = new Draining({
      alone: () => undefined,
      clients: () => undefined,
      announce: (reason) => processes.isNotReady(reason),
      pause,
      close() {},
      leave: async () => {},
    })
    log.info('server-started', { domain: config.domain, workers: config.workers, ...all })
    return {
      ports: all,
      ...(certificates.caPath === undefined ? {} : { caFile: certificates.caPath }),
      operations: {
        ...processes.operations,
        drain: (graceMs) => draining.drain(graceMs),
        drainProgress: () => draining.drainProgress(),
      },
      async stop() {
        await stop()
        log.info('server-stopped')
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const placesOf = (config: Config): readonly { readonly address: string; readonly port: number }[] => {
  const { c2s, tls, http, https, httpAddress } = config.listen
  const addresses = listenAddresses(config)
  return [...[c2s, tls, https].map((port) => ({ addresses, port })), { addresses: [httpAddress], port: http }].flatMap(
    ({ addresses: each, port }) => (port === 'off' || port === 0 ? [] : each.map((address) => ({ address, port }))),
  )
}

/** The embedded store, which has one owner; a database server has none. */
const ownedStore = async (config: Config): Promise<{ readonly driver: Driver; readonly socket: string } | undefined> => {
  if (config.store.driver !== 'embedded') return undefined
  const socket = join(config.data, 'store.sock')
  return { driver: await openStore(config, { offeredAt: socket }), socket }
}

const openBus = async (folder: string, self: NodeId, log: Logger): Promise<Bus> => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const bus = await openUnixBus({
    folder: socketAddress(folder),
    self,
    clock: systemClock,
    // Workers that come and go are told of below.
    log: { ...log, info: log.debug },
  })
  void new HomeRegistrar(bus, systemClock)
  return bus
}

/** What is the supervisor's own is not the workers': the port of the operators, and making a certificate. */
const workerConfig = (config: Config, { paths }: Certificates): Config => ({
  ...config,
  listen: { ...config.listen, admin: 'off' },
  tls: { ...config.tls, ...paths },
})

const listenForOperators = async (
  config: Config,
  workers: () => Workers | undefined,
  metrics: Metrics,
  certificates: Certificates,
  log: Logger,
): Promise<Pick<Listeners, 'ports' | 'close'> | undefined> => {
  const { admin } = config.listen
  if (admin === 'off') return undefined
  const health = {
    check: () => workers()?.check() ?? Promise.reject(new Error('the server starts')),
    text: () => workers()?.numbers() ?? metrics.text(),
  }
  const service = operatorsServer(health, metrics, log)
  const options = transportOptions(config, { certificates, metrics, log }, false)
  const listeners = await openListeners(
    [{ name: 'admin', addresses: ['127.0.0.1'], port: admin, security: 'none', service }],
    options,
  )
  return {
    ports: listeners.ports,
    close() {
      listeners.close()
      service.close()
    },
  }
}

interface WorkersOptions {
  readonly config: Config
  readonly dev: DevOptions | undefined
  readonly registrar: NodeId
  readonly busFolder: string
  readonly storeSocket: string | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

interface Slot {
  readonly name: string
  process: WorkerProcess | undefined
  isServing: boolean
  startedAtMs: number
  pauseMs: number
}

/** The processes that serve clients. */
class Workers {
  readonly #options: WorkersOptions
  readonly #slots: readonly Slot[]
  /** With the ports that the first worker was given, where the configuration leaves them open. */
  #config: Config
  #lastEpoch = 0
  #starts = 0
  #isStopping = false
  #notReady: string | undefined

  constructor(options: WorkersOptions) {
    this.#options = options
    this.#config = options.config
    this.#slots = Array.from({ length: options.config.workers }, (_, index) => ({
      name: `worker-${index + 1}`,
      process: undefined,
      isServing: false,
      startedAtMs: 0,
      pauseMs: FIRST_PAUSE_MS,
    }))
    options.metrics.gauge('workers', 'Processes that serve clients.', () => this.#serving.length)
    options.metrics.total('worker_starts_total', 'Times a process was started to serve clients.', () => this.#starts)
  }

  get #serving(): readonly WorkerProcess[] {
    return this.#slots.flatMap(({ process, isServing }) => (isServing && process !== undefined ? [process] : []))
  }

  /** Starts one, which picks the ports that are not said, then the others; resolves to the ports. */
  async start(): Promise<RunningServer['ports']> {
    const [first, ...others] = this.#slots
    if (first === undefined) return {}
    const ports = await this.#launch(first)
    this.#config = { ...this.#config, listen: { ...this.#config.listen, ...ports } }
    await Promise.all(others.map((slot) => this.#launch(slot)))
    for (const slot of this.#slots) this.#keepUp(slot)
    return ports
  }

  async #launch(slot: Slot): Promise<RunningServer['ports']> {
    const { clock, dev, registrar, busFolder, storeSocket, log } = this.#options
    this.#lastEpoch = Math.max(this.#lastEpoch, registrar.epoch, clock.nowMs()) + 1
    this.#starts += 1
    slot.startedAtMs = clock.monotonicMs()
    const self = { name: slot.name, epoch: this.#lastEpoch }
    const start = {
      kind: 'start',
      config: this.#config,
      dev,
      self,
      registrar,
      busFolder: socketAddress(busFolder),
      storeSocket,
    } as const
    const process = new WorkerProcess(start, clock)
    slot.process = process
    void process.ended.then(() => {
      slot.isServing = false
    })
    const ports = await process.started
    slot.isServing = true
    log.info('worker-started', { worker: slot.name, pid: process.pid })
    return ports
  }

  /** Starts a worker again whenever it has ended. */
  #keepUp(slot: Slot): void {
    const { clock, log } = this.#options
    void slot.process?.ended.then(({ code, signal }) => {
      if (this.#isStopping) return
      if (clock.monotonicMs() - slot.startedAtMs > LONG_LIFE_MS) slot.pauseMs = FIRST_PAUSE_MS
      log.error('worker-ended', { worker: slot.name, code, signal, startsAgainInMs: slot.pauseMs })
      clock.after(slot.pauseMs, () => {
        if (!this.#isStopping) this.#launchAgain(slot)
      })
      slot.pauseMs = Math.min(slot.pauseMs * 2, LONGEST_PAUSE_MS)
    })
  }

  #launchAgain(slot: Slot): void {
    this.#launch(slot).catch((error: unknown) => {
      if (this.#isStopping) return
      this.#options.log.error('worker-not-started', { worker: slot.name, error })
      slot.process?.kill()
    })
    this.#keepUp(slot)
  }

  /** Whoever asks whether they serve is told no, and why. */
  isNotReady(reason: string): void {
    this.#notReady = reason
  }

  /** Resolves when every worker serves and can write. */
  async check(): Promise<void> {
    if (this.#notReady !== undefined) throw new Error(this.#notReady)
    const serving = this.#serving
    if (serving.length < this.#slots.length) {
      const reason = this.#slots.find(({ isServing, process }) => !isServing && process?.waitsFor !== undefined)?.process
        ?.waitsFor
      throw new Error(`${serving.length} of ${this.#slots.length} workers serve${reason === undefined ? '' : `: ${reason}`}`)
    }
    await Promise.all(serving.map((process) => process.ask({ what: 'check' }, LOOK_MS)))
  }

  /** The numbers of all processes, added up; those of a worker that does not answer are left out. */
  async numbers(): Promise<string> {
    const answers = await Promise.allSettled(this.#serving.map((process) => process.ask({ what: 'numbers' }, LOOK_MS)))
    const numbers = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    return Metrics.sumOf([await this.#options.metrics.numbers(), ...numbers])
  }

  /** What the command line may do, done by any worker: they tell each other. */
  get operations(): Omit<Operations, keyof DrainOperations> {
    const forward =
      <N extends keyof Operations>(name: N) =>
      (...input: Parameters<Operations[N]>) =>
        // Both ends are of one version.
        this.#ask({ what: 'operation', name, input }) as ReturnType<Operations[N]>
    return {
      addAccount: forward('addAccount'),
      importAccount: forward('importAccount'),
      deleteAccount: forward('deleteAccount'),
      setPassword: forward('setPassword'),
      setDisabled: forward('setDisabled'),
      listAccounts: forward('listAccounts'),
      listDevices: forward('listDevices'),
      revokeDevice: forward('revokeDevice'),
      createInvite: forward('createInvite'),
      status: () => this.#status(),
    }
  }

  async #status(): Promise<ServerStatus> {
    const question = { what: 'operation', name: 'status', input: [] } as const
    const all = await Promise.all(this.#serving.map((process) => process.ask(question) as Promise<ServerStatus>))
    const [first] = all
    if (first === undefined) throw new Error('no worker serves')
    return { ...first, sessions: all.reduce((sum, { sessions }) => sum + sessions, 0) }
  }

  #ask(question: WorkerQuestion): Promise<unknown> {
    return this.#serving[0]?.ask(question) ?? Promise.reject(new Error('no worker serves'))
  }

  /** Ends all of them, in peace where that is possible. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(
      this.#slots.map(async ({ name, process, isServing }) => {
        if (process === undefined) return
        if (!isServing) process.kill()
        if ((await process.stop()) === 'killed') this.#options.log.warn('worker-killed', { worker: name })
      }),
    )
  }
}
