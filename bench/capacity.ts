import { parseArgs } from 'node:util'
import { FIGURES, MACHINE, MEASURED } from './capacity/measured.ts'
import { bareUs, DEFAULT_USAGE, messageUs, type Plan, planFor, type Usage } from './capacity/model.ts'

const SIZES = [1e5, 1e7, 1e9]

const USAGE = `npm run capacity -- [options]: what so many accounts take
${Object.entries(DEFAULT_USAGE)
  .map(
    ([name, value]) =>
      `  --${kebab(name)} N${' '.repeat(Math.max(1, 28 - name.length))}(default ${name === 'accounts' ? SIZES.join(', ') : value})`,
  )
  .join('\n')}
  --figures                          the measured figures that it calculates with
docs/scaling.md explains them.
`

const OPTIONS: Readonly<Record<string, { readonly type: 'string' | 'boolean' }>> = {
  ...Object.fromEntries(Object.keys(DEFAULT_USAGE).map((name) => [kebab(name), { type: 'string' }])),
  figures: { type: 'boolean' },
  help: { type: 'boolean' },
}

const { values } = parseArgs({ options: OPTIONS })

if (values.help === true) process.stdout.write(USAGE)
else if (values.figures === true) process.stdout.write(figures())
else process.stdout.write(`${plans()}\n${check()}`)

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function usageOf(accounts: number): Usage {
  const said = Object.keys(DEFAULT_USAGE).flatMap((name) => {
    const text = values[kebab(name)]
    if (typeof text !== 'string') return []
    const number = Number(text)
    if (!Number.isFinite(number) || number < 0) throw new Error(`--${kebab(name)} ${text} is no number`)
    return [[name, number]]
  })
  return { ...DEFAULT_USAGE, accounts, ...Object.fromEntries(said) }
}

function plans(): string {
  const sizes = typeof values.accounts === 'string' ? [Number(values.accounts)] : SIZES
  const all = sizes.map((accounts) => planFor(usageOf(accounts), MEASURED))
  const line = (name: string, of: (plan: Plan) => string) => `| ${[name, ...all.map(of)].join(' | ')} |`
  const limits = (plan: Plan) =>
    plan.limits
      .slice(0, 3)
      .map(({ what, used }) => `${what} (${(used * 100).toFixed(0)} %)`)
      .join('; ')
  return [
    `| accounts | ${sizes.map(show).join(' | ')} |`,
    `| --- |${' --- |'.repeat(all.length)}`,
    line('sessions online', ({ sessions }) => show(sessions)),
    line('messages, logins, presences a second', (plan) =>
      [plan.messagesPerSecond, plan.loginsPerSecond, plan.presencesPerSecond].map(show).join(', '),
    ),
    line('**nodes** (processes, a processor and memory each)', ({ nodes }) => `**${show(nodes)}**`),
    line('busy processors: messages, presence, logins, pages', ({ cores }) =>
      [cores.messages, cores.presence, cores.logins, cores.pages].map(show).join(', '),
    ),
    line('CPU for a message, µs', (plan) => show(plan.messageUs)),
    line('hops a batch, messages a commit', (plan) => `${show(plan.hopsPerBatch)}, ${show(plan.messagesPerCommit)}`),
    line('memory for connections, GiB', ({ memoryGib }) => show(memoryGib)),
    line('**Redis**: shards; busy processors', ({ redis }) => `**${redis.shards}**; ${show(redis.cores)}`),
    line('Redis: batches, scripts a second', ({ redis }) => `${show(redis.batchesPerSecond)}, ${show(redis.scriptsPerSecond)}`),
    line('between nodes and Redis, Mbit/s', ({ busMbit }) => show(busMbit)),
    line('**database**: shards', ({ database }) => `**${show(database.shards)}**`),
    line(
      'database: commands, documents a second',
      ({ database }) => `${show(database.commandsPerSecond)}, ${show(database.documentsPerSecond)}`,
    ),
    line('database: GiB a day, kept, all copies', ({ database }) => `${show(database.gibPerDay)}, ${show(database.gibKept)}`),
    line('links between nodes', ({ links }) => show(links)),
    line('used up first', limits),
    '',
  ].join('\n')
}

/** One and two nodes are what the model was made from; with three it is asked what was measured, too. */
function check(): string {
  const { threeNodes } = MEASURED.clusterRows
  const bare = MEASURED.bareRows.threeNodes
  const rows = [
    { what: 'kept message, three nodes', says: messageUs(MEASURED, { crossing: 1, ...threeNodes }), is: threeNodes.us },
    { what: 'message that nobody keeps, three nodes', says: bareUs(MEASURED, 1, bare.hopsPerBatch), is: bare.us },
  ]
  return [
    '| check | the model says, µs | measured, µs | error |',
    '| --- | --- | --- | --- |',
    ...rows.map(
      ({ what, says, is }) => `| ${what} | ${says.toFixed(1)} | ${is.toFixed(1)} | ${((says / is - 1) * 100).toFixed(0)} % |`,
    ),
    '',
  ].join('\n')
}

function figures(): string {
  const lines = Object.entries(FIGURES).map(
    ([name, { value, unit, source }]) => `| ${name} | ${value} ${unit} | ${source.from} | ${source.date} | ${source.machine} |`,
  )
  return [`${MACHINE}\n`, '| figure | value | from | date | machine |', '| --- | --- | --- | --- | --- |', ...lines, ''].join(
    '\n',
  )
}

function show(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en')
  return value >= 10 ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1)
}
