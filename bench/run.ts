import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Sample } from './figures.ts'
import { json, judge, markdown, type RowResult } from './report.ts'
import { runRow } from './run-row.ts'
import { FULL, QUICK } from './scale.ts'
import type { AnyRow, Scale } from './scenarios/row.ts'
import { ROWS, rowsNamed } from './scenarios/rows.ts'
import { ejabberd } from './servers/ejabberd.ts'
import { prosody } from './servers/prosody.ts'
import type { Launcher } from './servers/server.ts'
import { waxwing } from './servers/waxwing.ts'
import { findXmppload, HOW_TO_GET } from './xmppload.ts'

const PEERS: readonly Launcher[] = [prosody(), prosody('sqlite'), ejabberd]

const USAGE = `npm run bench -- [options]
  --against LIST   also run these on the same work, alternating: ${PEERS.map(({ name }) => name).join(', ')}
  --only LIST      run these servers only, waxwing among them or not
  --rows LIST      rows by name or by the beginning of it: ${[...new Set(ROWS.map(({ id }) => id.split('-')[0]))].join(', ')}; "chat=" is that one alone
  --runs N         rounds of each row (default 3, with --quick 1)
  --quick          little work of each kind: does everything run, is nothing lost?
  --json FILE      also write the figures there
  --accounts N, --seconds N, --window N    another amount of work in the chat rows
`

const { values } = parseArgs({
  options: {
    against: { type: 'string', default: '' },
    only: { type: 'string' },
    rows: { type: 'string' },
    runs: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    accounts: { type: 'string' },
    seconds: { type: 'string' },
    window: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(USAGE)
else process.exit(await main())

async function main(): Promise<number> {
  const xmppload = findXmppload()
  if (xmppload === undefined) say(HOW_TO_GET)
  const launchers = serversNamed(values.only ?? ['waxwing', values.against].join(','))
  const rows = (values.rows === undefined ? ROWS : rowsNamed(listOf(values.rows))).filter((row) => {
    const why = whyNot(row, xmppload)
    if (why !== undefined) say(`${row.id} is left out: ${why}`)
    return why === undefined
  })
  const scale = scaleWanted()
  const runs = Number(values.runs ?? (values.quick ? 1 : 3))
  const results: RowResult[] = []
  for (const row of rows) results.push(await measure(row, launchers, scale, runs, xmppload))
  process.stdout.write(markdown(results, runs))
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(json(results, runs), undefined, 2)}\n`)
  const ourFaults = results.some(({ faults }) => (faults.get('waxwing') ?? []).length > 0)
  return ourFaults || judge(results).some(({ outcome }) => outcome === 'broken') ? 1 : 0
}

// Servers take turns within each round, since what else the machine does changes by the minute.
async function measure(
  row: AnyRow,
  launchers: readonly Launcher[],
  scale: Scale,
  runs: number,
  xmppload: string | undefined,
): Promise<RowResult> {
  const suitable = launchers.filter(({ name, suits }) => ('setup' in row ? suits(row.setup) : name === 'waxwing'))
  const samples = new Map<string, Sample[]>(suitable.map(({ name }) => [name, []]))
  const faults = new Map<string, string[]>(suitable.map(({ name }) => [name, []]))
  for (let round = 1; round <= runs; round++) {
    for (const launcher of suitable) {
      const outcome = await runRow(row, launcher, scale, xmppload)
      samples.get(launcher.name)?.push(outcome.sample)
      faults.get(launcher.name)?.push(...outcome.faults)
      const main = outcome.sample[row.main]
      say(`${row.id} ${round}/${runs} ${launcher.name}: ${row.main} ${main?.toFixed(2) ?? '–'} ${outcome.faults.join('; ')}`)
    }
  }
  return { row, samples, faults }
}

function serversNamed(list: string): readonly Launcher[] {
  const known = new Map([waxwing(), ...PEERS].map((launcher) => [launcher.name, launcher]))
  return listOf(list).flatMap((name) => {
    const launcher = known.get(name)
    if (launcher === undefined) throw new Error(`no server is named ${name}; there are ${[...known.keys()].join(', ')}`)
    const missing = launcher.missing()
    if (missing === undefined) return [launcher]
    say(`${name} is left out: ${missing}`)
    return []
  })
}

function whyNot(row: AnyRow, xmppload: string | undefined): string | undefined {
  if (row.needsXmppload && xmppload === undefined) return 'it needs xmppload'
  return 'missing' in row ? row.missing() : undefined
}

function scaleWanted(): Scale {
  const base = values.quick ? QUICK : FULL
  const { accounts, seconds, window } = values
  return {
    ...base,
    ...(accounts !== undefined && { accounts: Number(accounts) }),
    ...(seconds !== undefined && { seconds: Number(seconds) }),
    ...(window !== undefined && { window: Number(window) }),
  }
}

function listOf(text: string): readonly string[] {
  return text.split(',').filter((name) => name !== '')
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
