import { parseArgs } from 'node:util'
import { register } from '../../bench/client/login.ts'
import { openTcp } from './link.ts'
import { type FuzzAccount, logIn, ping } from './login.ts'
import { caseOf, play, type Survivors, type Target } from './play.ts'
import { type Fault, type ServerUnderFire, startServerUnderFire } from './server-under-fire.ts'

const usage = 'usage: npm run fuzz -- [--streams N] [--seed N] [--seconds N] [--connections N] [--only N]'
const DOMAIN = 'localhost'
const ACCOUNTS = 16
/** Streams between two looks at the server. */
const CHECK_EVERY = 5_000
/** A fresh client is answered within this time (issue: the server goes on serving). */
const ANSWER_MS = 1_000
/** Part of the streams after which the memory counts as warm. */
const WARM_UP = 0.1
/** What the memory may have grown by since: the store's page caches, 32 MiB on each of two connections, which fill as more is stored, and a tenth. */
const RSS_TOLERANCE = { factor: 1.1, moreMiB: 72 }
const SETTLE_MS = 30_000
/** An error comes at most so long after its cause. */
const SUSPECT_MS = 300

interface Failure {
  readonly what: string
  readonly suspects: readonly number[]
}

/** Everything that a run remembers. */
class Run {
  readonly seed: number
  readonly failures: Failure[] = []
  readonly #inFlight = new Set<number>()
  #recent: { readonly number: number; readonly atMs: number }[] = []

  constructor(seed: number) {
    this.seed = seed
  }

  fault({ line }: Fault): void {
    this.#recent = this.#recent.filter(({ atMs }) => performance.now() - atMs < SUSPECT_MS)
    this.failures.push({ what: line, suspects: [...this.#inFlight, ...this.#recent.map(({ number }) => number)] })
  }

  fail(what: string, ...suspects: readonly number[]): void {
    this.failures.push({ what, suspects })
  }

  async playOne(target: Target, number: number, survivors: Survivors): Promise<void> {
    this.#inFlight.add(number)
    try {
      const complaint = await play(target, caseOf(this.seed, number), survivors)
      if (complaint !== undefined) this.fail(complaint, number)
    } catch (error) {
      this.fail(String(error), number)
    } finally {
      this.#inFlight.delete(number)
      this.#recent.push({ number, atMs: performance.now() })
      if (this.#recent.length > 2_000) this.#recent = this.#recent.slice(-500)
    }
  }
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      streams: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '3600' },
      connections: { type: 'string', default: '48' },
      only: { type: 'string' },
    },
  })
  const [streams, seed, seconds, connections] = [values.streams, values.seed, values.seconds, values.connections].map(Number)
  if (!streams || seed === undefined || Number.isNaN(seed) || !seconds || !connections) throw new Error(usage)
  const run = new Run(seed)
  const server = await startServerUnderFire(DOMAIN, (fault) => run.fault(fault))
  try {
    const target: Target = { domain: DOMAIN, ports: server.ports, accounts: await makeAccounts(server.ports.c2s) }
    if (values.only === undefined) await bombard(run, server, target, { streams, seconds, connections })
    else for (const only of values.only.split(',')) await alone(run, target, Number(only))
    if (values.only === undefined && run.failures.length > 0) await convict(run, server, target)
  } finally {
    await server.stop()
  }
  return report(run)
}

const makeAccounts = async (port: number): Promise<readonly FuzzAccount[]> => {
  const accounts = Array.from({ length: ACCOUNTS }, (_, i) => ({ username: `fuzz${i}`, password: 'secret' }))
  for (const account of accounts) await register({ kind: 'tcp', port, domain: DOMAIN }, { ...account, mechanism: 'PLAIN' })
  return accounts
}

interface Extent {
  readonly streams: number
  readonly seconds: number
  readonly connections: number
}

const bombard = async (
  run: Run,
  server: ServerUnderFire,
  target: Target,
  { streams, seconds, connections }: Extent,
): Promise<void> => {
  const startMs = performance.now()
  const elapsed = (): number => (performance.now() - startMs) / 1000
  const players = Array.from({ length: connections }, (): Survivors => new Map())
  let next = 0
  let warmMiB: number | undefined
  while (next < streams && elapsed() < seconds && server.death() === undefined) {
    const until = Math.min(streams, next + CHECK_EVERY)
    await Promise.all(
      players.map(async (survivors) => {
        while (next < until && server.death() === undefined) await run.playOne(target, next++, survivors)
      }),
    )
    const answerMs = await timeToAnswer(run, target)
    const rssMiB = await server.rssMiB()
    if (next >= streams * WARM_UP) warmMiB ??= rssMiB
    console.log(
      `${String(next).padStart(7)} streams  ${(next / elapsed()).toFixed(0)}/s  ${rssMiB.toFixed(0)} MiB  login and ping ${answerMs.toFixed(0)} ms  ${run.failures.length} failures`,
    )
  }
  for (const survivors of players) for (const link of survivors.values()) link.finish()
  const death = server.death()
  if (death !== undefined) run.fail(death)
  else await settle(run, server, warmMiB ?? 0)
}

/** How long a fresh client waits for its login and the answer to a ping. */
const timeToAnswer = async (run: Run, { ports, domain, accounts }: Target): Promise<number> => {
  const account = accounts[0]
  if (account === undefined) throw new Error(usage)
  const startMs = performance.now()
  try {
    const link = await openTcp(ports.c2s)
    await logIn(link, domain, account, 'checkpoint')
    link.send(ping(domain, 'checkpoint.'))
    const waited = await link.until('checkpoint.', ANSWER_MS)
    const tookMs = performance.now() - startMs
    if (waited !== 'there' || tookMs > ANSWER_MS) run.fail(`a fresh client waited ${tookMs.toFixed(0)} ms (${waited})`)
    link.finish()
    await link.until('closed', ANSWER_MS)
    return tookMs
  } catch (error) {
    run.fail(`a fresh client was not served: ${String(error)}`)
    return Number.NaN
  }
}

const settle = async (run: Run, server: ServerUnderFire, warmMiB: number): Promise<void> => {
  const allowedMiB = warmMiB * RSS_TOLERANCE.factor + RSS_TOLERANCE.moreMiB
  const deadline = performance.now() + SETTLE_MS
  let rssMiB = await server.rssMiB()
  while (rssMiB > allowedMiB && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    rssMiB = await server.rssMiB()
  }
  console.log(`memory: ${warmMiB.toFixed(0)} MiB warm, ${rssMiB.toFixed(0)} MiB settled, ${allowedMiB.toFixed(0)} MiB allowed`)
  if (rssMiB > allowedMiB) run.fail(`the memory grew from ${warmMiB.toFixed(0)} to ${rssMiB.toFixed(0)} MiB`)
}

/** Plays one stream with nothing beside it, and gives the server time to complain. */
const alone = async (run: Run, target: Target, number: number): Promise<boolean> => {
  const before = run.failures.length
  const survivors: Survivors = new Map()
  await run.playOne(target, number, survivors)
  for (const link of survivors.values()) link.finish()
  await new Promise((resolve) => setTimeout(resolve, 50))
  return run.failures.length > before
}

const MAX_SUSPECTS = 300

/** Finds out which of the streams that were under way is the cause, by playing each alone. */
const convict = async (run: Run, server: ServerUnderFire, target: Target): Promise<void> => {
  const suspects = [...new Set(run.failures.flatMap((failure) => failure.suspects))].slice(0, MAX_SUSPECTS)
  const known = run.failures.length
  const convicted: number[] = []
  for (const number of suspects) if (server.death() === undefined && (await alone(run, target, number))) convicted.push(number)
  run.failures.length = known
  for (const number of convicted) console.log(`stream ${number} fails alone: npm run fuzz -- --seed ${run.seed} --only ${number}`)
}

const report = (run: Run): number => {
  const kinds = new Map<string, { readonly first: Failure; count: number }>()
  for (const failure of run.failures) {
    const kind = failure.what
      .replace(/"time":"[^"]*"/, '')
      .replace(/"(address|id|jid)":"[^"]*"/g, '')
      .replace(/\d+/g, '0')
    const known = kinds.get(kind)
    if (known === undefined) kinds.set(kind, { first: failure, count: 1 })
    else known.count++
  }
  for (const { first, count } of kinds.values())
    console.log(
      `FAILED ${count} times: ${first.what.slice(0, 1_500)}\n  streams ${first.suspects.slice(0, 60).join(',')} of seed ${run.seed}`,
    )
  console.log(run.failures.length === 0 ? 'nothing failed' : `${run.failures.length} failures`)
  return run.failures.length === 0 ? 0 : 1
}

process.exitCode = await main()
