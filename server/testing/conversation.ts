import { test } from 'vitest'
import { type Assembly, assemble } from '#server/assembly.ts'
import type { Clock } from '#server/base/clock.ts'
import { loadConfig, type Overrides } from '#server/base/config.ts'
import { type Logger, nullLog } from '#server/base/log.ts'
import { Metrics } from '#server/base/metrics.ts'
import { deriveCredentials } from '#server/core/credentials.ts'
import type { Module } from '#server/core/module.ts'
import { streamLimitsOf } from '#server/core/stream-limits.ts'
import type { FleetParts } from '#server/fleet.ts'
import { ping } from '#server/modules/ping.ts'
import type { Accept } from '#server/stream/connection.ts'
import { parseJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import type { StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Driver } from '#storage/driver.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { Actor } from './actor.ts'
import { FakeClock, WallClock } from './fake-clock.ts'
import { type Carrier, openLines } from './lines.ts'
import { any, xml } from './match.ts'
import { MemoryFleet } from './memory-bus.ts'
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
  /** The next client comes to this node. */
  comesBy(node: number): void
  /** One node of several is killed, as by `kill -9`; its connections are lost, and the others have learned of it. */
  loses(node: number): Promise<void>
  /** What is on its way between nodes is lost, and their links begin anew. */
  interrupts(): Promise<void>
  /** The links of one node of several take nothing more, or everything again. */
  fills(node: number, isFull?: boolean): void
  /** What this node appends to the log from now on lands when it is told to, also after the node was lost. */
  delays(node: number): { land(): Promise<void> }
  /** The wall clock of one node of several is put forward or back. */
  jumps(node: number, byMs: number): void
  /** One node of several stops in peace. */
  drains(node: number): Promise<void>
  /** The server is killed, as by `kill -9`, and starts again over what it had given to the store; every connection is lost. */
  dies(): Promise<void>
}

export interface ConversationOptions {
  /** Besides `ping`; modules that these need are added. */
  readonly modules?: readonly Module[]
  readonly config?: Overrides
  /** What carries it; all three unless said. */
  readonly carriers?: readonly Carrier[]
  /** How many nodes serve it, each with every so manieth client; `WAXWING_TEST_NODES` unless said. One, for tests that look into the server. */
  readonly nodes?: number
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
export const assembleServer = (
  options: ConversationOptions,
  clock: Clock,
  driver: Driver,
  fleet?: FleetParts,
): Promise<Assembly> => {
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
    ...(fleet === undefined ? {} : { fleet }),
  })
}

const setUp = async (carrier: Carrier, options: ConversationOptions): Promise<{ scene: Scene; tearDown(): Promise<void> }> => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const fleet = new MemoryFleet(clock)
  const count = options.nodes ?? Number(process.env.WAXWING_TEST_NODES ?? 1)
  let nodes = await startNodes(count, options, clock, driver, fleet)
  let next = 0
  let lastNode: Node | undefined
  const accept: Accept = (connection) => {
    lastNode = nodeAt(nodes, next++)
    return lastNode.server.accept(connection)
  }
  const lines = await openLines(carrier, accept, socketListeners(clock))
  const settle = settler(() => lines.inTransit() + fleet.inTransit())
  const actors: Actor[] = []
  /** Nodes that are no more. */
  const left = new Set<Node>()
  const doors = new Map<Actor, Node>()
  const scene: Scene = {
    domain: DOMAIN,
    clock,
    carrier,
    get server() {
      return nodeAt(nodes, 0).server
    },
    driver,
    settle,
    async visit(remoteAddress) {
      const actor = new Actor(await lines.open(remoteAddress), DOMAIN, settle)
      actors.push(actor)
      // Over a socket it comes a little later.
      if (count > 1) await settle()
      if (lastNode !== undefined) doors.set(actor, lastNode)
      return actor
    },
    comesBy(node) {
      next = node
    },
    async loses(index) {
      const lost = nodeAt(nodes, index)
      lost.kill()
      left.add(lost)
      for (const [actor, node] of doors) if (node === lost) await actor.vanishes()
      // Its timers end.
      void lost.server.stop()
      clock.advance(DEATH_MS)
      await settle()
    },
    fills: (node, isFull = true) => fleet.fill(`n${node}`, isFull),
    async interrupts() {
      fleet.interrupt()
      await settle()
    },
    delays(index) {
      const late = nodeAt(nodes, index).delay()
      return {
        async land() {
          late.land()
          await settle()
        },
      }
    },
    jumps(index, byMs) {
      nodeAt(nodes, index).clock.jump(byMs)
    },
    async drains(index) {
      const stopped = nodeAt(nodes, index)
      left.add(stopped)
      await stopped.server.stop()
      await settle()
    },
    async dies() {
      for (const node of nodes) node.kill()
      for (const actor of actors) await actor.vanishes()
      // Their timers end; what else they would like to do no longer matters.
      for (const { server } of nodes) void server.stop()
      driver.release()
      await driver.check().catch(() => undefined)
      // What the dead were the homes of is theirs for a moment longer.
      if (count > 1) clock.advance(DEATH_MS)
      nodes = await startNodes(count, options, clock, driver, fleet)
    },
    async createAccount(text) {
      const jid = parseJid(text)?.bare
      if (jid === undefined) throw new Error(`${text} is no JID`)
      await driver.accounts.create({ jid, createdAtMs: clock.nowMs(), credentials: await credentials, isDisabled: false })
      for (const { server } of nodes) server.accounts.forget(jid)
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
      for (const node of nodes) if (!left.has(node)) await node.server.stop()
      await fleet.close()
      await lines.close()
      await driver.close()
    },
  }
}

/** How long it takes until others believe that a node is dead. */
const DEATH_MS = 250

/** A process of the server, and how it is killed. */
interface Node {
  readonly server: Assembly
  readonly kill: () => void
  readonly delay: () => { land(): void }
  readonly clock: WallClock
}

const startNodes = async (
  count: number,
  options: ConversationOptions,
  common: FakeClock,
  driver: MemoryDriver,
  fleet: MemoryFleet,
): Promise<readonly Node[]> => {
  const nodes: Node[] = []
  for (let i = 0; i < count; i++) {
    const life = mortal(driver)
    const { delay } = life
    const clock = new WallClock(common)
    if (count === 1)
      nodes.push({ server: await assembleServer(options, clock, life.driver), kill: () => life.kill(), delay, clock })
    else {
      const { kill, ...parts } = await fleet.join(`n${i}`)
      const server = await assembleServer(options, clock, life.driver, parts)
      nodes.push({
        server,
        delay,
        clock,
        kill() {
          life.kill()
          kill()
        },
      })
    }
  }
  return nodes
}

const nodeAt = (nodes: readonly Node[], index: number): Node => {
  const node = nodes[index % nodes.length]
  if (node === undefined) throw new Error('there is no node')
  return node
}

/** Turns of the loop in which nothing may move before it counts as quiet: several writes one after the other, each with its commit, and what follows from them. */
const QUIET_TURNS = 24

const settler = (inTransit: () => number) => async (): Promise<void> => {
  for (let quiet = 0; quiet < QUIET_TURNS; ) {
    await new Promise((resolve) => setImmediate(resolve))
    quiet = inTransit() === 0 ? quiet + 1 : 0
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
