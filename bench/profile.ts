import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Cost, type CpuProfile, summarize } from './cpuprofile.ts'
import { makeFolder } from './processes.ts'
import { runRow } from './run-row.ts'
import { FULL } from './scale.ts'
import type { Row } from './scenarios/row.ts'
import { ROWS } from './scenarios/rows.ts'
import { waxwing } from './servers/waxwing.ts'
import { findXmppload } from './xmppload.ts'

const USAGE = `node bench/profile.ts ROW [options]: where Waxwing's time goes while a row runs
  --users N            accounts (default 200)
  --seconds N          how long (default 8)
  --window N           messages under way for each sender (default 4)
  --ledger off|durable instead of what the row says
  --top N              how many functions (default 40)
  --interval US        microseconds between samples (default 250)
  --keep FOLDER        put the .cpuprofile files there, for Chromium's developer tools
ROW is one of ${ROWS.flatMap((row) => ('setup' in row ? [row.id] : [])).join(', ')}
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    users: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '8' },
    window: { type: 'string', default: '4' },
    ledger: { type: 'string' },
    top: { type: 'string', default: '40' },
    interval: { type: 'string', default: '250' },
    keep: { type: 'string' },
  },
})

const row = ROWS.find(({ id }) => id === positionals[0])
if (row === undefined || !('setup' in row)) {
  process.stderr.write(USAGE)
  process.exit(2)
}
await profile(withLedger(row))
process.exit(0)

function withLedger(wanted: Row): Row {
  if (values.ledger !== 'off' && values.ledger !== 'durable') return wanted
  return { ...wanted, setup: { ...wanted.setup, ledger: values.ledger } }
}

async function profile(wanted: Row): Promise<void> {
  const folder = makeFolder('profile')
  const users = Number(values.users)
  const seconds = Number(values.seconds)
  const scale = { ...FULL, accounts: users, idle: users, idleTls: users, logins: users, seconds, window: Number(values.window) }
  const launcher = waxwing(['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${values.interval}`])
  const outcome = await runRow(wanted, launcher, scale, findXmppload())
  process.stdout.write(`${wanted.id}, profiled: ${JSON.stringify(outcome.sample)} ${outcome.faults.join('; ')}\n`)

  // The first run on that folder made the accounts; every thread of every run left a file.
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))
  const newestPid = pidOf(files.toSorted().at(-1) ?? '')
  for (const name of files.filter((file) => pidOf(file) === newestPid)) {
    if (values.keep !== undefined) copyFileSync(join(folder, name), join(values.keep, name))
    print(`thread ${name.split('.')[4]}`, JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile, seconds)
  }
}

// CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile
function pidOf(name: string): string {
  return name.split('.')[3] ?? ''
}

function print(title: string, cpuProfile: CpuProfile, seconds: number): void {
  const { busyMs, windowMs, functions, files } = summarize(cpuProfile, seconds * 1000)
  process.stdout.write(`\n${title}: busy ${busyMs.toFixed(0)} of ${windowMs} ms\n`)
  const top = Number(values.top)
  const table = (costs: readonly Cost[]) =>
    costs
      .slice(0, top)
      .filter(({ selfMs }) => selfMs > 0)
      .map(({ name, selfMs, totalMs }) => `${percent(selfMs, busyMs)} ${percent(totalMs, busyMs)}  ${name}\n`)
      .join('')
  process.stdout.write(`\n  self   total  file\n${table(files)}\n  self   total  function\n${table(functions)}`)
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / Math.max(whole, 1)).toFixed(1).padStart(5)} %`
}
