import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type CpuProfile, sharesOf, summarize } from './cpuprofile.ts'
import { dropFolder, makeFolder } from './processes.ts'
import { fleetChat } from './scenarios/cluster.ts'
import { databaseName } from './servers/database.ts'

const USAGE = `node bench/fleet-profile.ts [durable|bare] [options]: where the time of a fleet's nodes goes, per delivered message
  --nodes LIST     fleets of so many nodes, one after the other (default 1,2,3)
  --users N        accounts (default 200)
  --seconds N      how long (default 8)
  --warmup N       before that (default 6)
  --window N       messages under way for each sender (default 4)
  --top N          also print the most expensive functions (default 0)
  --keep FOLDER    put the .cpuprofile files there, for Chromium's developer tools
`

/** Whose a file is; the first that fits. What belongs to nobody here is the platform's, and counted for who called it. */
const GROUPS: readonly (readonly [name: string, part: RegExp])[] = [
  ['driver (mongodb, bson)', /node_modules\/(mongodb|bson)\//],
  ['Redis client (ioredis)', /node_modules\/(ioredis|redis-parser|@ioredis|denque|standard-as-callback)\//],
  ['other packages', /node_modules\//],
  ['parse (stanzas)', /\/stanzas\//],
  ['bus (links, frames)', /\/server\/cluster\//],
  ['forwarding between homes', /\/server\/core\/(forwarding|inflow|residence|homes|home-calls|under-way)\.ts/],
  ['store (committer, documents)', /\/storage\//],
  ['write (sockets)', /\/server\/transport\//],
  ['stream, 0198', /\/server\/stream\//],
  ['ledger, routing, delivery', /\/server\/core\//],
  ['modules', /\/server\/modules\//],
  ['other', /\/server\//],
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    nodes: { type: 'string', default: '1,2,3' },
    users: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '8' },
    warmup: { type: 'string', default: '6' },
    window: { type: 'string', default: '4' },
    top: { type: 'string', default: '0' },
    keep: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(USAGE)
else await main()
process.exit(0)

type Costs = {
  readonly nodes: number
  /** Microseconds of a processor by group. */
  readonly groups: ReadonlyMap<string, number>
  readonly outside: number
  readonly inAll: number
}

async function main(): Promise<void> {
  const isBare = positionals[0] === 'bare'
  process.stdout.write(`database: ${databaseName()}\n`)
  const all: Costs[] = []
  for (const nodes of values.nodes.split(',').map(Number)) all.push(await profile(nodes))
  process.stdout.write(tableOf(all))

  async function profile(nodes: number): Promise<Costs> {
    const folder = makeFolder('profile')
    const scale = {
      ...{ accounts: Number(values.users), window: Number(values.window) },
      ...{ seconds: Number(values.seconds), warmupSeconds: Number(values.warmup) },
    }
    const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=400']
    const chat = { ledger: 'durable' as const, ...(isBare && { isKeptByNobody: true as const }) }
    const figures = await fleetChat(nodes, chat, scale, flags)
    process.stdout.write(`${nodes} nodes, profiled: ${JSON.stringify(figures)}\n`)
    const inAll = figures.server_cpu_ms_per_1000_delivered ?? Number.NaN
    // The profiler looks at the clock, and other processes take their share of that; so only its shares are used.
    const loop = figures.loop_ms_per_1000_delivered ?? Number.NaN
    const groups = new Map<string, number>()
    const profiles = profilesIn(folder)
    for (const cpuProfile of profiles) {
      for (const [group, share] of sharesOf(cpuProfile, scale.seconds * 1000, groupOf))
        groups.set(group, (groups.get(group) ?? 0) + (share * loop) / profiles.length)
      printTop(cpuProfile, scale.seconds, loop / profiles.length)
    }
    dropFolder(folder)
    return { nodes, groups, outside: inAll - loop, inAll }
  }
}

function groupOf(url: string): string | undefined {
  return GROUPS.find(([, part]) => part.test(url))?.[0]
}

/** Of the nodes; the program that starts one with the right flags leaves a profile, too. */
function profilesIn(folder: string): readonly CpuProfile[] {
  return readdirSync(folder).flatMap((name) => {
    const cpuProfile = JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile
    if (!cpuProfile.nodes.some(({ callFrame }) => callFrame.url.endsWith('/server/server.ts'))) return []
    if (values.keep !== undefined) copyFileSync(join(folder, name), join(values.keep, name))
    return [cpuProfile]
  })
}

function printTop(cpuProfile: CpuProfile, seconds: number, loop: number): void {
  if (Number(values.top) === 0) return
  const { busyMs, functions } = summarize(cpuProfile, seconds * 1000)
  process.stdout.write('\n')
  for (const { name, selfMs } of functions.slice(0, Number(values.top)))
    process.stdout.write(`${((selfMs / busyMs) * loop).toFixed(2).padStart(8)}  ${name}\n`)
}

function tableOf(all: readonly Costs[]): string {
  const names = [...new Set([...GROUPS.map(([name]) => name), ...all.flatMap(({ groups }) => [...groups.keys()])])]
  const line = (name: string, of: (costs: Costs) => number) =>
    `| ${[name, ...all.map((costs) => of(costs).toFixed(1))].join(' | ')} |`
  return [
    `\n| µs of the nodes' CPU per delivered message | ${all.map(({ nodes }) => `${nodes} nodes`).join(' | ')} |`,
    `| --- |${' --- |'.repeat(all.length)}`,
    ...names.map((name) => line(name, ({ groups }) => groups.get(name) ?? 0)),
    line('other threads', ({ outside }) => outside),
    line('in all', ({ inAll }) => inAll),
    '',
  ].join('\n')
}
