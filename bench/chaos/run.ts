import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Chance } from '../../conformance/fuzz/chance.ts'
import { forEachIndex, PASSWORD } from '../client/accounts.ts'
import { register } from '../client/login.ts'
import { makeFolder } from '../processes.ts'
import { readArchive } from './archive.ts'
import { Books } from './books.ts'
import { Device, type World } from './device.ts'
import { Fleet } from './fleet.ts'
import { type ChaosOptions, DOMAIN } from './options.ts'
import { plot } from './plot.ts'
import { population } from './population.ts'
import { describeViolation, markdown } from './report.ts'
import { describeFault, drawSchedule, ROUND, type Schedule } from './schedule.ts'
import { STAND_INS } from './service.ts'
import { recoveries, Timeline } from './timeline.ts'
import { judge, type Violation } from './verdict.ts'

const USAGE = `npm run chaos -- [options]
  --seconds N      how long it lasts, the calm at the end included (default 600)
  --seed S         what happens when; what comes of it is up to the server (default 1)
  --nodes N        (default 3)
  --accounts N     (default 36)
  --rate N         messages a second of all clients together (default 30)
  --only LIST      these kinds of faults only: ${[...new Set(ROUND)].join(', ')}
  --database NAME  what stands in for MongoDB: ${STAND_INS.join(', ')} (default: a MongoDB if there is one, else ${STAND_INS[0]})
  --report FOLDER  where the report, the plot, the events and the logs go (default .cache/chaos)
`
/** Who is not answered for so long counts as not served. */
const SERVED_MS = 2_000
const LOOK_MS = 250
/** Nothing has come for so long: what is missing is not on its way. */
const QUIET_MS = 5_000
const SETTLE_MS = 60_000

/** A run from its beginning to its report. */
class Run {
  readonly #options: ChaosOptions
  readonly #books = new Books()
  readonly #timeline = new Timeline()
  readonly #others: Violation[] = []
  readonly #lines: string[] = []
  #startedAt = performance.now()
  #schedule: Schedule | undefined
  #isLoaded = false

  constructor(options: ChaosOptions) {
    this.#options = options
  }

  async play(): Promise<boolean> {
    const { nodes, accounts, seed, seconds, report, only, database } = this.#options
    rmSync(report, { recursive: true, force: true })
    mkdirSync(report, { recursive: true })
    const folder = makeFolder('chaos')
    const fleet = await Fleet.start(nodes, folder, database, (event, node, detail) => this.#tell(node.name, event, { detail }))
    try {
      const plans = population(accounts)
      await makeAccounts(fleet, accounts)
      const roaming = plans.filter(({ roams }) => roams).map(({ name }) => name)
      const kinds = ROUND.filter(
        (kind) => (only.length === 0 || only.includes(kind)) && (kind !== 'database-killed' || fleet.database.kill !== undefined),
      )
      const schedule = drawSchedule({ seed, seconds, nodes, roaming, kinds })
      this.#schedule = schedule
      say(
        `${fleet.database.name}; ${nodes} nodes, ${accounts} accounts with ${plans.length} clients; ${schedule.faults.length} faults in ${seconds} s`,
      )
      const devices = plans.map((plan, at) => new Device(plan, this.#world(fleet, new Chance(seed, 3, at))))
      await this.#storm(fleet, devices, schedule)
      const archives = await this.#settle(devices, accounts)
      return this.#report(fleet, devices, archives)
    } finally {
      this.#copyLogs(fleet)
      await fleet.stop()
    }
  }

  #nowMs(): number {
    return performance.now() - this.#startedAt
  }

  #world(fleet: Fleet, chance: Chance): World {
    return {
      books: this.#books,
      chance,
      entrances: fleet.entrances,
      nowMs: () => this.#nowMs(),
      onAcked: (messages) => this.#timeline.count(this.#nowMs(), 'acked', messages),
      onReceived: () => this.#timeline.count(this.#nowMs(), 'received'),
      onBrokenRule: (what) =>
        this.#others.push({ promise: 'broken-rule', what: `${(this.#nowMs() / 1000).toFixed(1)} s: ${what}` }),
      tell: (device, event, detail) => this.#tell(device, event, detail),
    }
  }

  // Faults, absences and load, until the calm.
  async #storm(fleet: Fleet, devices: readonly Device[], { faults, absences, calmAtMs }: Schedule): Promise<void> {
    const { seed, rate } = this.#options
    this.#startedAt = performance.now()
    for (const device of devices) void device.live()
    const eyes = setInterval(() => this.#look(devices), LOOK_MS)
    eyes.unref()
    const at = async (ms: number) => sleep(Math.max(0, ms - this.#nowMs()))
    await at(7_000)
    this.#isLoaded = true
    const writers = devices.map((device, index) =>
      this.#write(device, new Chance(seed, 4, index), (1000 * devices.length) / rate),
    )
    const byName = new Map(devices.map((device) => [device.plan.name, device]))
    const away = absences.map(async ({ atMs, device, forMs, saysGoodbye }) => {
      await at(atMs)
      this.#tell(device, 'goes-away', { forMs, saysGoodbye })
      const absent = byName.get(device)
      await Promise.all([absent?.goAway(saysGoodbye), at(atMs + forMs)])
      absent?.comeBack()
    })
    const chance = new Chance(seed, 5)
    for (const fault of faults) {
      await at(fault.atMs)
      say(
        `${(this.#nowMs() / 1000).toFixed(0)} s: ${describeFault(fault)}; ${devices.filter((device) => device.isOnline).length} online`,
      )
      this.#tell('fault', fault.kind, { ...fault, what: describeFault(fault) })
      await fleet.suffer(fault, chance).catch((error: unknown) => this.#tell('fault', 'failed', { error: String(error) }))
      this.#tell('fault', 'over', { kind: fault.kind })
    }
    await at(calmAtMs)
    await Promise.all(away)
    // The load goes on for a while, so that it is seen that everything works again.
    await sleep((this.#options.seconds * 1000 - calmAtMs) / 3)
    this.#isLoaded = false
    await Promise.all(writers)
  }

  async #write(device: Device, chance: Chance, everyMs: number): Promise<void> {
    const { peers } = device.plan
    while (this.#isLoaded) {
      await sleep(everyMs / 2 + chance.below(everyMs))
      const peer = peers[chance.below(peers.length)]
      if (this.#isLoaded && peer !== undefined && device.write(peer)) this.#timeline.count(this.#nowMs(), 'sent')
    }
  }

  // Everybody comes online, everything is acknowledged, and nothing comes any more.
  async #settle(devices: readonly Device[], accounts: number): Promise<ReadonlyMap<string, readonly string[]>> {
    const until = this.#nowMs() + SETTLE_MS
    let before = -1
    let since = this.#nowMs()
    while (this.#nowMs() < until) {
      const isDone = devices.every((device) => device.isOnline && device.unacked.length === 0)
      if (isDone && this.#nowMs() - since > QUIET_MS) break
      await sleep(100)
      const now = this.#books.messages.reduce((all, { copies }) => all + copies.length, 0)
      if (now !== before) since = this.#nowMs()
      before = now
    }
    this.#look(devices)
    this.#timeline.close(this.#nowMs())
    for (const device of devices) {
      if (!device.isOnline) this.#others.push({ promise: 'not-back', what: device.plan.name })
      for (const message of device.unacked)
        this.#others.push({ promise: 'unacknowledged', what: `by ${device.plan.name}`, message })
    }
    const archives = new Map<string, readonly string[]>()
    const readers = devices.filter(({ plan, isOnline }) => plan.resource === 'phone' && isOnline)
    await forEachIndex(accounts, 2, async (at) => {
      const reader = readers[at]
      if (reader === undefined) return
      try {
        archives.set(reader.plan.account, await readArchive(reader))
      } catch (error) {
        this.#others.push({ promise: 'broken-rule', what: error instanceof Error ? error.message : String(error) })
      }
    })
    return archives
  }

  #report(fleet: Fleet, devices: readonly Device[], archives: ReadonlyMap<string, readonly string[]>): boolean {
    const { report, seed, seconds, nodes } = this.#options
    for (const device of devices) device.end()
    for (const stranger of this.#books.strangers)
      this.#others.push({ promise: 'broken-rule', what: `nobody sent this: ${stranger}` })
    for (const { name, deaths } of fleet.nodes)
      for (const how of deaths) this.#others.push({ promise: 'node-ended', what: `${name} ended with ${how}` })
    const verdict = judge({
      books: this.#books,
      plans: devices.map(({ plan }) => plan),
      archives,
      refusedSessions: new Map(devices.map(({ plan, refusedSessions }) => [plan.name, refusedSessions])),
      others: this.#others,
    })
    const { messages } = this.#books
    const copies = messages.reduce((all, message) => all + message.copies.length, 0)
    const sum = (of: (device: Device) => number) => devices.reduce((all, device) => all + of(device), 0)
    const faults = this.#schedule?.faults ?? []
    const text = markdown(verdict, {
      title: [
        `${nodes} nodes, Redis and ${fleet.database.name}; seed ${seed}, ${seconds} s, ${faults.length} faults.`,
        `${devices.length} clients of ${archives.size} accounts, ${devices.filter(({ plan }) => !plan.resumes).length} of them without XEP-0198.`,
      ],
      counts: {
        'messages sent': messages.length,
        acknowledged: messages.filter(({ ackedAtMs }) => ackedAtMs !== undefined).length,
        'copies received': copies,
        'sent again': messages.reduce((all, { writes }) => all + Math.max(0, writes.length - 1), 0),
        'sessions resumed': sum(({ returns }) => returns.resumed),
        'resumptions refused': sum(({ returns }) => returns.refused),
        'sessions bound otherwise': sum(({ returns }) => returns.bound),
        'nodes fenced': fleet.nodes.reduce((all, { fenced }) => all + fenced, 0),
        'errors logged by nodes': errorsOf(fleet),
      },
      recoveries: recoveries(faults, this.#timeline.outages, this.#nowMs()),
    })
    writeFileSync(join(report, 'report.md'), text)
    writeFileSync(join(report, 'plot.svg'), plot(this.#timeline.seconds, faults, this.#schedule?.calmAtMs ?? 0))
    writeFileSync(join(report, 'violations.txt'), `${verdict.violations.map(describeViolation).join('\n')}\n`)
    process.stdout.write(text)
    return verdict.violations.length === 0
  }

  #look(devices: readonly Device[]): void {
    this.#timeline.look(
      this.#nowMs(),
      devices.map((device) => ({
        name: device.plan.name,
        isWanted: device.isWanted,
        isOnline: device.isOnline,
        isServed: device.isServed(SERVED_MS),
      })),
    )
    this.#flush()
  }

  #tell(who: string, event: string, detail: Readonly<Record<string, unknown>>): void {
    const time = new Date().toISOString()
    this.#lines.push(JSON.stringify({ at: (this.#nowMs() / 1000).toFixed(2), time, who, event, ...detail }))
  }

  #flush(): void {
    if (this.#lines.length > 0)
      appendFileSync(join(this.#options.report, 'events.jsonl'), `${this.#lines.splice(0).join('\n')}\n`)
  }

  #copyLogs(fleet: Fleet): void {
    this.#flush()
    for (const node of fleet.nodes) node.copyLog(this.#options.report)
  }
}

const makeAccounts = (fleet: Fleet, count: number): Promise<void> =>
  forEachIndex(count, 4, (index) => {
    const { port } = fleet.nodes[index % fleet.nodes.length] ?? { port: 0 }
    return register({ kind: 'tcp', port, domain: DOMAIN }, { username: `u${index}`, password: PASSWORD, mechanism: 'PLAIN' })
  })

const errorsOf = (fleet: Fleet): string => {
  const all = new Map<string, number>()
  for (const node of fleet.nodes) for (const [event, count] of node.errors()) all.set(event, (all.get(event) ?? 0) + count)
  return [...all].map(([event, count]) => `${count} × ${event}`).join(', ') || 'none'
}

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: '1' },
    nodes: { type: 'string', default: '3' },
    accounts: { type: 'string', default: '36' },
    rate: { type: 'string', default: '30' },
    database: { type: 'string' },
    only: { type: 'string', default: '' },
    report: { type: 'string', default: '.cache/chaos' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(USAGE)
else {
  const { report, only, ...numbers } = values
  const database = STAND_INS.find((name) => name === values.database)
  const [seconds, seed, nodes, accounts, rate] = [
    numbers.seconds,
    numbers.seed,
    numbers.nodes,
    numbers.accounts,
    numbers.rate,
  ].map(Number)
  if (
    !seconds ||
    seed === undefined ||
    Number.isNaN(seed) ||
    !nodes ||
    !accounts ||
    !rate ||
    (values.database !== undefined && database === undefined)
  )
    throw new Error(USAGE)
  const isKept = await new Run({
    seconds,
    seed,
    nodes,
    accounts,
    rate,
    report,
    database,
    only: only.split(',').filter((kind) => kind !== ''),
  }).play()
  process.exit(isKept ? 0 : 1)
}
