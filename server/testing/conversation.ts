import { test } from 'vitest'
import { type Assembly, assemble } from '#server/assembly.ts'
import { loadConfig, type Overrides } from '#server/base/config.ts'
import { type Logger, nullLog } from '#server/base/log.ts'
import { Metrics } from '#server/base/metrics.ts'
import { deriveCredentials } from '#server/core/credentials.ts'
import type { Module } from '#server/core/module.ts'
import { streamLimitsOf } from '#server/core/stream-limits.ts'
import { ping } from '#server/modules/ping.ts'
import { parseJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import type { StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Driver } from '#storage/driver.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { Actor } from './actor.ts'
import { FakeClock } from './fake-clock.ts'
import { type Carrier, type Lines, openLines } from './lines.ts'
import { any, xml } from './match.ts'
import { mortal } from './mortal-driver.ts'
import { socketListeners } from './socket-listeners.ts'

export type { Actor }
export { any, xml }

/** What a conversation is given. */
export interface Scene {
  readonly domain: string
  readonly clock: FakeClock
  readonly carrier: Carrier
  readonly server: Assembly
  readonly driver: MemoryDriver
  /** Makes the account where there is none, logs in, binds the resource; says nothing more. */
  connect(jid: string): Promise<Actor>
  /** Connects and sends initial presence; what that causes has been read. */
  comesOnline(jid: string, presence?: string): Promise<Actor>
  /** A connection on which nothing has been said. */
  visit(remoteAddress?: string): Promise<Actor>
  /** Makes an account with the password `secret`. */
  createAccount(jid: string): Promise<void>
  /** Both subscribe to each other (RFC 6121 §3), and forget what they were told meanwhile. */
  befriend(a: Actor, b: Actor): Promise<void>
  /** Resolves when nothing is on its way and nothing is being written. */
  settle(): Promise<void>
  /** The server is killed, as by `kill -9`, and starts again over what it had given to the store; every connection is lost. */
  dies(): Promise<void>
}

export interface ConversationOptions {
  /** Besides `ping`; modules that these need are added. */
  readonly modules?: readonly Module[]
  readonly config?: Overrides
  /** What carries it; all three unless said. */
  readonly carriers?: readonly Carrier[]
  readonly isDev?: boolean
  /** Where the server logs and counts, for tests that look. */
  readonly log?: Logger
  readonly metrics?: Metrics
}

const DOMAIN = 'verona.example'
/** SCRAM keys of `secret`, made once: accounts of tests need not be slow. */
const credentials = deriveCredentials('secret', { iterations: 4096 })

/** A test in which people talk through a server, once over each carrier. */
export const conversation = (title: string, options: ConversationOptions, play: (scene: Scene) => Promise<void>): void => {
  for (const carrier of options.carriers ?? (['memory', 'tcp', 'websocket'] as const))
    test(`${title} [${carrier}]`, async () => {
      const stage = await setUp(carrier, options)
      try {
        await play(stage.scene)
      } finally {
        await stage.tearDown()
      }
    })
}

const withNeeds = (modules: readonly Module[]): readonly Module[] => {
  const all = new Set<Module>()
  const add = (module: Module): void => {
    for (const needed of Object.values(module.needs)) add(needed)
    all.add(module)
  }
  for (const module of modules) add(module)
  return [...all]
}

/** The whole server but for its listeners, as conversations have it. */
export const assembleServer = (options: ConversationOptions, clock: FakeClock, driver: Driver): Promise<Assembly> => {
  const modules = withNeeds([ping, ...(options.modules ?? [])])
  const config = loadConfig({
    overrides: { domain: DOMAIN, login: { allowPlainWithoutTls: true }, ...options.config },
    modules: Object.fromEntries(modules.map((module) => [module.name, module.config])),
  })
  return assemble({
    config,
    configOf: (module) => config.modules[module.name] ?? {},
    driver,
    modules,
    host: {
      version: '0.0.0-test',
      startedAtMs: clock.nowMs(),
      admins: new Set(config.admins.flatMap((admin) => parseJid(admin)?.bare ?? [])),
      httpUrl: () => `http://${DOMAIN}:5280`,
      websocketUrl: () => `ws://${DOMAIN}:5280/xmpp-websocket`,
      linkUrl: () => `https://${DOMAIN}`,
      areRatesLimited: config.limits.rates,
      allowsPlain: config.login.allowPlainWithoutTls,
      limits: streamLimitsOf(config),
      isDev: options.isDev ?? false,
    },
    clock,
    log: options.log ?? nullLog,
    metrics: options.metrics ?? new Metrics(),
    decoySecret: Buffer.alloc(32, 7),
  })
}

const setUp = async (carrier: Carrier, options: ConversationOptions): Promise<{ scene: Scene; tearDown(): Promise<void> }> => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  let life = mortal(driver)
  let server = await assembleServer(options, clock, life.driver)
  const lines = await openLines(carrier, (connection) => server.accept(connection), socketListeners(clock))
  const settle = settler(lines)
  const actors: Actor[] = []
  const scene: Scene = {
    domain: DOMAIN,
    clock,
    carrier,
    get server() {
      return server
    },
    driver,
    settle,
    async visit(remoteAddress) {
      const actor = new Actor(await lines.open(remoteAddress), DOMAIN, settle)
      actors.push(actor)
      return actor
    },
    async dies() {
      life.kill()
      for (const actor of actors) await actor.vanishes()
      // Its timers end; what else it would like to do no longer matters.
      void server.stop()
      driver.release()
      await driver.check().catch(() => undefined)
      life = mortal(driver)
      server = await assembleServer(options, clock, life.driver)
    },
    async createAccount(text) {
      const jid = parseJid(text)?.bare
      if (jid === undefined) throw new Error(`${text} is no JID`)
      await driver.accounts.create({ jid, createdAtMs: clock.nowMs(), credentials: await credentials, isDisabled: false })
      server.accounts.forget(jid)
    },
    async connect(text) {
      const jid = parseJid(text)
      if (jid === undefined) throw new Error(`${text} is no JID`)
      await scene.createAccount(jid.bare)
      const actor = await scene.visit()
      await actor.logsIn(jid.localpart, 'secret')
      await actor.binds(jid.resourcepart)
      return actor
    },
    async comesOnline(jid, stanza = '<presence/>') {
      const actor = await scene.connect(jid)
      await actor.sends(stanza)
      await actor.ignores()
      return actor
    },
    async befriend(a, b) {
      for (const [one, other] of [
        [a, b],
        [b, a],
      ] as const) {
        await one.sends(xml`<presence type="subscribe" to="${other.bareJid}"/>`)
        await other.sends(xml`<presence type="subscribed" to="${one.bareJid}"/>`)
      }
      for (const one of [a, b]) await one.ignores()
    },
  }
  return {
    scene,
    async tearDown() {
      await server.stop()
      await lines.close()
      await driver.close()
    },
  }
}

/** Turns of the loop in which nothing may move before it counts as quiet: several writes one after the other, each with its commit, and what follows from them. */
const QUIET_TURNS = 24

const settler = (lines: Lines) => async (): Promise<void> => {
  for (let quiet = 0; quiet < QUIET_TURNS; ) {
    await new Promise((resolve) => setImmediate(resolve))
    quiet = lines.inTransit() === 0 ? quiet + 1 : 0
  }
}

/** The refusal of an iq (RFC 6120 §8.3), as it is received. */
export const refusal = (
  condition: StanzaErrorCondition,
  {
    id,
    from,
    to,
    kind = 'iq',
  }: { readonly id?: string; readonly from?: string; readonly to: string; readonly kind?: 'iq' | 'message' | 'presence' },
): string => {
  const error = serialize(new StanzaError(condition).toElement(), 'jabber:client')
  const attribute = (name: string, value: string | undefined): string => (value === undefined ? '' : ` ${name}="${value}"`)
  return `<${kind} type="error"${attribute('id', id)}${attribute('from', from)} to="${to}">${error}</${kind}>`
}
