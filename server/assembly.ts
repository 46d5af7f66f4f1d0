import { type BareJid, type Jid, parseJid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import type { Driver } from '#storage/driver.ts'
import type { Clock } from './base/clock.ts'
import type { CoreConfig } from './base/core-config.ts'
import type { Logger } from './base/log.ts'
import type { Metrics } from './base/metrics.ts'
import { Pace } from './base/pace.ts'
import type { AccountNews } from './core/account-news.ts'
import { Accounts } from './core/accounts.ts'
import { type Client, clientsOf } from './core/clients.ts'
import { Delivery } from './core/delivery.ts'
import { type Device, Devices } from './core/devices.ts'
import { asStanzaError, failureLog } from './core/failures.ts'
import { HomeCalls } from './core/home-calls.ts'
import { Hooks } from './core/hooks.ts'
import type { HttpRoute } from './core/http-route.ts'
import { IqDispatch } from './core/iq.ts'
import { Ledger } from './core/ledger.ts'
import { LoginThrottle } from './core/login-throttle.ts'
import type { HostFacts, Module, NonzaRegistration, VisitorIqRegistration } from './core/module.ts'
import { hooksOf, inStartOrder, registryOf, startModules } from './core/modules.ts'
import { PendingLimit } from './core/pending-limit.ts'
import { Resends } from './core/resends.ts'
import { RetentionSweep } from './core/retention.ts'
import { Router } from './core/router.ts'
import type { Session, SessionHost } from './core/session.ts'
import { Sessions } from './core/sessions.ts'
import { UnderWay } from './core/under-way.ts'
import { Fleet, type FleetParts } from './fleet.ts'
import { measure, stanzaCounts } from './measures.ts'
import { C2sStream } from './stream/c2s.ts'
import type { Accept } from './stream/connection.ts'
import { answerBind, bind, bindRequests, legacySession } from './stream/features/bind.ts'
import { Bind2 } from './stream/features/bind2.ts'
import { Logins } from './stream/features/login.ts'
import { Records, type ResumeRecord } from './stream/features/recording.ts'
import { channelBindings, sasl } from './stream/features/sasl.ts'
import { sasl2 } from './stream/features/sasl2.ts'
import { startTls } from './stream/features/starttls.ts'
import { bcryptMatches } from './stream/sasl/password.ts'
import { SessionLife } from './stream/session-life.ts'
import type { StreamErrorCondition } from './stream/stream-error.ts'

export interface AssemblyOptions {
  readonly config: CoreConfig
  readonly configOf: (module: Module) => unknown
  readonly driver: Driver
  readonly modules: readonly Module[]
  readonly host: HostFacts
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Outlives restarts (see `Accounts`). */
  readonly decoySecret: Buffer
  /** The other processes that serve the same accounts; they are left when the server stops. */
  readonly fleet?: FleetParts
}

/** A whole server but for its listeners and its database: what the program and the conversation tests have in common. */
export interface Assembly {
  readonly accept: Accept
  readonly clock: Clock
  readonly accounts: Accounts
  readonly devices: Devices
  readonly sessions: Sessions
  readonly ledger: Ledger
  readonly life: SessionLife
  readonly http: readonly HttpRoute[]
  readonly apis: ReadonlyMap<string, unknown>
  /** The clients that have access to an account, as its home knows them. */
  clientsOf(account: BareJid): Promise<readonly Client[]>
  describeOrder(): readonly string[]
  /** Whether another process could go on with what clients have here. */
  hasOthers(): boolean
  /** How many clients are connected here or have their session here. */
  clientCount(): number
  /** Lets clients go on at other nodes, so many a second that those are not overrun, and takes no more; the server has to be stopped then. */
  drain(): Promise<void>
  /** Ends every stream with `system-shutdown` and stops the modules. */
  stop(): Promise<void>
}

const REVOKED = 'access was revoked'
/** Clients of a node that is drained log in elsewhere: a login costs a node some milliseconds, and those that it has are to feel nothing. */
const LEAVING_PER_SECOND = 200
/** How long a server that stops waits for what its clients have asked for. */
const LAST_WORK_MS = 2_000
/** Before a client has logged in it needs no more than SASL does. */
const DEPTH_BEFORE_LOGIN = 16
/**
 * An element of four bytes costs a thousand times what a byte of text costs, so bytes alone do not limit what a stanza takes. These cost some milliseconds;
 * the largest that people send are lists of a thousand addresses or rooms, and keys for some hundreds of devices.
 */
const SHAPE = { maxAttributes: 64, maxElements: 4_096, maxPayloads: 256 }

/** Who is the home of this, which is nobody's address, removes what is too old, for all nodes. */
const RETENTION = '/retention'

/** Builds every part and connects them. */
export const assemble = async (options: AssemblyOptions): Promise<Assembly> => {
  const { config, driver, clock, log, metrics } = options
  const domain = parseJid(config.domain)
  if (domain === undefined || domain.localpart !== '') throw new Error(`${config.domain} is no domain`)

  const logFailure = failureLog(log, clock)
  const sessions = new Sessions()
  const accounts = new Accounts({
    storage: driver.accounts,
    clock,
    log,
    decoySecret: options.decoySecret,
    bcryptMatches,
    iterations: config.login.scramIterations,
  })
  const devices = new Devices({
    storage: driver.expiring<Device>('server/devices'),
    clock,
    log,
    tokenLifetimeMs: config.login.tokenLifetime,
    memoryMs: config.login.deviceMemory,
    maxPerAccount: config.login.devicesPerAccount,
  })
  const retention = config.ledger.retention === 'forever' ? Number.POSITIVE_INFINITY : config.ledger.retention
  const ledger = await Ledger.open(driver.log, clock, {
    mode: config.ledger.mode,
    retention,
    ...(options.fleet === undefined ? {} : { node: options.fleet.homes.number }),
  })
  const delivery = new Delivery({
    sessions,
    ledger,
    domain,
    onFailure: (session, error) => log.error('catch-up-failed', { jid: session.jid, error }),
  })
  const pendingLimit = new PendingLimit({
    max: config.ledger.maxPendingPerAccount,
    clock,
    count: (account) => ledger.countPending(account),
  })
  const refused = metrics.tally('stanzas_refused_total', 'Stanzas that were answered with an error by the server.', ['condition'])
  const onRefused = (condition: StanzaErrorCondition): void => refused.add(condition)
  const iq = new IqDispatch(domain, clock, onRefused)
  const hooks = new Hooks((module, moment, error) => log.error('hook-failed', { module, moment, error }))
  const resends = new Resends({ log: driver.log, clock, lastId: ledger.lastId })
  const router = new Router({
    domain,
    sessions,
    accounts,
    hooks,
    ledger,
    pendingLimit,
    resends,
    delivery,
    iq,
    onFailure: (stanza, error) => logFailure(stanza, error),
    onRefused,
  })

  const homeCalls = new HomeCalls((account, call, error) => log.warn('home-not-told', { account, call, error }))
  const forget = (account: BareJid): void => {
    accounts.forget(account)
    devices.leave(account)
    pendingLimit.forget(account)
    hooks.emit('account-left', { account })
  }
  const accept: Accept = (connection) => {
    const stream = new C2sStream(connection, c2s)
    streams.add(stream)
    return stream
  }
  const fleet: Fleet | undefined =
    options.fleet === undefined
      ? undefined
      : new Fleet({
          ...options.fleet,
          domain: domain.domainpart,
          sessions,
          accounts,
          ledger,
          delivery,
          resends,
          router,
          homeCalls,
          accept: (connection) => accept(connection),
          clock,
          log,
          forget,
          hear: (news) => hear(news),
        })
  const modules = inStartOrder(options.modules)
  const registry = registryOf(modules)
  const started = await startModules(modules, {
    shared: {
      domain,
      host: options.host,
      sessions,
      router,
      delivery,
      ledger,
      accounts,
      devices,
      iq,
      clock,
      metrics,
      registry,
      emit: hooks.emit.bind(hooks),
      isHere: (account) => fleet?.isHere(account) ?? true,
      isAlone: options.fleet === undefined,
      callHome: homeCalls.call.bind(homeCalls),
      tellHome: homeCalls.tell.bind(homeCalls),
    },
    openStore: (shape, name) => (shape.shape === 'documents' ? driver.documents(name) : driver.expiring(name)),
    log,
    configOf: options.configOf,
  })
  hooks.install(hooksOf(started))
  iq.register('bind', bindRequests)
  for (const { module, parts } of started) {
    iq.register(module.name, parts.iq ?? [])
    router.registerPresence(module.name, parts.presence ?? [])
    homeCalls.register(module.name, parts.calls ?? [])
    for (const service of parts.services ?? []) {
      const dispatch = new IqDispatch(service.address, clock, onRefused)
      dispatch.register(module.name, service.iq)
      router.registerService(service, dispatch)
    }
  }
  homeCalls.register('server', [
    {
      name: 'clients',
      handle: async (account) => JSON.stringify(await clientsOf(account, { devices, sessions, nowMs: clock.nowMs() })),
    },
  ])
  const nonzas = new Map<string, NonzaRegistration['handle']>()
  const visitorIq = new Map<string, VisitorIqRegistration['handle']>()
  for (const { parts } of started) {
    for (const { ns, name, handle } of parts.nonzas ?? []) nonzas.set(`${name} ${ns}`, handle)
    for (const { ns, name, handle } of parts.visitorIq ?? []) visitorIq.set(`${name} ${ns}`, handle)
  }
  const accountChanges = metrics.tally('account_changes_total', 'What happened to accounts while the server ran.', ['what'])
  const unsubscribe = [
    accounts.on('created', async ({ account }) => {
      accountChanges.add('created')
      hooks.emit('account-created', { account })
      // Whoever hears that it was made may use it anywhere at once.
      await fleet?.tell({ kind: 'created', account })
    }),
    accounts.on('deleted', async ({ account }) => {
      accountChanges.add('deleted')
      const news: AccountNews = { kind: 'deleted', account }
      endSessions(news)
      await fleet?.tell(news)
      await devices.forget(account)
      await hooks.announce('account-deleted', { account })
      await ledger.forget(account)
    }),
    accounts.on('changed', async ({ account, what, by }) => {
      accountChanges.add(what)
      const news: AccountNews = what === 'password' ? { kind: what, account, spared: by } : { kind: what, account }
      await fleet?.tell(news)
      if (what === 'enabled') return
      const changed = sessions.of(account).find(({ jid }) => jid === by)
      endSessions(news)
      await devices.forget(account, changed?.device)
    }),
    devices.onRevoked((account, device) => {
      const news: AccountNews = { kind: 'revoked', account, device }
      void fleet?.tell(news)
      endSessions(news)
    }),
  ]
  /** Ends whatever is logged in to the account, also what has bound no resource yet. */
  const turnOut = (account: BareJid, condition: StreamErrorCondition, text: string, spared?: Jid): void => {
    for (const stream of streams) if (stream.account === account && stream.session === undefined) stream.fail(condition, text)
    life.kickAccount(account, condition, text, spared)
  }
  /** Ends what is logged in to the account on a device that may not any more. */
  const shutOut = (account: BareJid, id: string): void => {
    const isOn = (device: string | undefined): boolean => device === id
    for (const stream of streams)
      if (stream.account === account && stream.session === undefined && isOn(stream.device))
        stream.fail('not-authorized', REVOKED)
    for (const session of sessions.of(account)) if (isOn(session.device)) life.kick(session, 'not-authorized', REVOKED, true)
  }
  /** Ends the sessions that may not go on after a change of their account. */
  const endSessions = (news: AccountNews): void => {
    const { account } = news
    if (news.kind === 'deleted') turnOut(account, 'not-authorized', 'the account was deleted')
    else if (news.kind === 'disabled') turnOut(account, 'not-authorized', 'the account was disabled')
    else if (news.kind === 'password') turnOut(account, 'reset', 'the password was changed', news.spared)
    else if (news.kind === 'revoked') shutOut(account, news.device)
  }
  /** Another node has changed an account: what is remembered of it is outdated. */
  const hear = (news: AccountNews): void => {
    accounts.forget(news.account)
    devices.leave(news.account)
    endSessions(news)
    if (news.kind === 'deleted') hooks.emit('account-left', { account: news.account })
  }

  const stanzas = stanzaCounts(metrics)
  const underWay = new UnderWay()
  const host: SessionHost = {
    handle(session, stanza) {
      stanzas.received[stanza.kind]++
      const settled = router.handle(session, stanza)
      if (settled instanceof Promise) underWay.add(settled)
      return settled
    },
    outbound(session, stanza) {
      stanzas.sent[stanza.kind]++
      const chain = hooks.chain('outbound', stanza.kind)
      if (chain.guards.length === 0 && chain.amends.length === 0) return stanza
      try {
        const passed = hooks.pass(chain, { stanza, from: session.address, to: session.address, session })
        if (passed instanceof Promise) throw new Error('an outbound hook may not wait')
        return passed
      } catch (error) {
        // One session's hook must not keep a message from the others, nor our mistake from this one.
        if (error instanceof StanzaError) return undefined
        logFailure(stanza, error)
        return stanza
      }
    },
    onFailure(session: Session, stanza: Stanza, error: unknown) {
      if (!(error instanceof StanzaError)) logFailure(stanza, error)
      router.refuse(session, stanza, asStanzaError(error))
    },
  }
  const records =
    options.fleet === undefined
      ? undefined
      : new Records({
          storage: driver.expiring<ResumeRecord>('server/resumable'),
          clock,
          log,
          carried: new Map(started.flatMap(({ module, parts }) => (parts.carries ? [[module.name, parts.carries]] : []))),
        })
  const life = new SessionLife({
    clock,
    log,
    sessions,
    hooks,
    ledger,
    delivery,
    resends,
    router,
    host,
    resumeTimeoutMs: config.streamManagement.resumeTimeout,
    maxSessionsPerAccount: config.limits.sessionsPerAccount,
    idleTimeoutMs: typeof config.limits.idleTimeout === 'number' ? config.limits.idleTimeout : Number.POSITIVE_INFINITY,
    stalledTimeoutMs: config.limits.stalledTimeout,
    outlet: {
      queuedBytes: config.limits.sendQueueBytes,
      unackedStanzas: config.streamManagement.maxUnackedStanzas,
      unackedBytes: config.streamManagement.maxUnackedBytes,
    },
    isHere: (account) => fleet?.residence.isHere(account) ?? true,
    records,
  })
  const streams = new Set<C2sStream>()
  const outcomes = metrics.tally('logins_total', 'Finished attempts to log in.', ['mechanism', 'result'])
  const streamErrors = metrics.tally('stream_errors_total', 'Streams that the server ended with an error.', ['condition'])
  const slowed = metrics.tally('streams_slowed_total', 'Times a client was not read for a while.', ['reason'])
  const throttle = config.limits.rates
    ? new LoginThrottle({
        clock,
        perAddress: { failures: config.login.failuresPerAddress, windowMs: config.login.failureWindow },
        perAccount: { failures: config.login.failuresPerAccount, windowMs: config.login.failureWindow },
      })
    : undefined
  const logins = new Logins({
    domain: domain.jid,
    accounts,
    mechanisms: config.login.mechanisms,
    allowPlainWithoutTls: config.login.allowPlainWithoutTls,
    throttle,
    houses: () => fleet?.houses,
    onOutcome: (mechanism, result) => outcomes.add(mechanism, result),
  })
  const bind2 = new Bind2({
    inline: started.flatMap(({ parts }) => parts.bind2 ?? []),
    streamManagement: life.streamManagement,
    open: (...binding) => life.open(...binding),
    supersede(session) {
      for (const other of sessions.of(session.account))
        if (other !== session && other.device === session.device)
          life.kick(other, 'conflict', 'the same client has bound another resource')
    },
    log,
  })
  const features = [
    startTls(!config.login.allowPlainWithoutTls),
    sasl2({
      logins,
      accounts,
      clock,
      devices,
      bind2,
      streamManagement: life.streamManagement,
      mechanisms: config.login.mechanisms,
    }),
    sasl(logins),
    channelBindings(logins),
    bind,
    legacySession,
    life.streamManagement,
  ]
  const limits = { ...SHAPE, maxDepth: config.limits.depth }
  const c2s = {
    domain,
    clock,
    log,
    limits: {
      beforeLogin: {
        ...SHAPE,
        maxStanzaBytes: config.limits.bytesBeforeLogin,
        maxDepth: DEPTH_BEFORE_LOGIN,
      },
      afterLogin: { ...limits, maxStanzaBytes: config.limits.stanzaBytes },
      loginTimeoutMs: config.limits.loginTimeout,
    },
    rate: config.limits.rates
      ? { burst: config.limits.stanzaBurst, perMs: (config.limits.stanzaBurst * 1000) / config.limits.stanzasPerSecond }
      : undefined,
    features,
    offers: started.flatMap(({ parts }) => parts.streamFeatures ?? []),
    nonzas,
    visitorIq,
    bind: (stream: C2sStream, stanza: Stanza) => answerBind(stream, stanza, (...binding) => life.open(...binding)),
    onFailed: (condition: StreamErrorCondition) => streamErrors.add(condition),
    onSlowed: (reason: 'rate' | 'session') => slowed.add(reason),
    onLost: (stream: C2sStream, session: Session, wasClosedInPeace: boolean) => life.onLost(stream, session, wasClosedInPeace),
    onGone: (stream: C2sStream) => streams.delete(stream),
  }
  const sweep = new RetentionSweep({
    accounts,
    entries: ledger,
    clock,
    log,
    domain: domain.domainpart,
    retention,
    retentionOf: (account) => ledger.retentionOf?.(account),
    isOurs: async () => options.fleet === undefined || (await options.fleet.homes.claim(RETENTION)).kind === 'mine',
  })
  measure(metrics, { sessions, accounts, ledger, pendingLimit, delivery, iq, life, throttle, sweep, fleet, records })
  metrics.gauge('streams', 'Open client streams, before and after login.', () => streams.size)
  const leave = (account: BareJid): Promise<unknown> => Promise.all(sessions.of(account).map((session) => life.leave(session)))
  life.start()
  if (retention !== Number.POSITIVE_INFINITY || ledger.retentionOf !== undefined) sweep.start()

  return {
    accept,
    clock,
    accounts,
    devices,
    sessions,
    ledger,
    life,
    http: started.flatMap(({ parts }) => parts.http ?? []),
    apis: new Map(started.map(({ module, parts }) => [module.name, parts.api])),
    clientsOf: async (account) => JSON.parse((await homeCalls.call(account, 'server.clients', '')) ?? '[]') as readonly Client[],
    describeOrder: () => hooks.describe(),
    hasOthers: () => fleet?.hasOthers ?? false,
    clientCount: () => sessions.count + (fleet?.houses.relays ?? 0),
    async drain() {
      await fleet?.drain(leave, new Pace(clock, LEAVING_PER_SECOND))
    },
    async stop() {
      await fleet?.drain(leave)
      for (const stream of streams) stream.fail('system-shutdown')
      life.stop()
      sweep.stop()
      for (const session of [...sessions.all()]) life.end(session)
      // What was asked for may need the store more than once.
      await underWay.idle(clock, LAST_WORK_MS)
      ledger.tidy()
      for (const off of unsubscribe) off()
      for (const { parts } of started.toReversed()) await parts.stop?.()
      await fleet?.stop()
    },
  }
}
