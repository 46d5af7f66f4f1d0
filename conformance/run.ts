import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Baseline, baselineOf, classOf, compare, type Result, withSecondTry } from './interop/baseline.ts'
import { runSmack } from './interop/smack.ts'
import { closingLine, comparisonText, count, resultTable } from './report.ts'
import { projectRoot } from './server-process.ts'

const reports = join(projectRoot, 'conformance', 'reports')
const baselineFile = join(projectRoot, 'conformance', 'baselines', 'smack.json')
const retries = 2
const usage = `usage: npm run conformance:clients -- [--server prosody] [NAME…]
       npm run conformance:smack -- [--server prosody] [--classes A,B] [--update-baseline]`

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { server: { type: 'string' }, classes: { type: 'string' }, 'update-baseline': { type: 'boolean', default: false } },
  })
  if (values.server !== undefined && (values.server !== 'prosody' || values['update-baseline'])) throw new Error(usage)
  if (values.server !== undefined) process.env.CONFORMANCE_SERVER = values.server
  const [suite, ...names] = positionals
  if (suite === 'clients') return clients(names)
  if (suite === 'smack' && names.length === 0) return smack(values.classes?.split(',') ?? [], values['update-baseline'])
  throw new Error(usage)
}

const clients = async (names: readonly string[]): Promise<number> => {
  const summary = join(reports, 'clients.json')
  await rm(summary, { force: true })
  await rm(join(reports, 'clients'), { recursive: true, force: true })
  const vitest = join(projectRoot, 'node_modules', 'vitest', 'vitest.mjs')
  const args = [vitest, 'run', '--config', 'conformance/clients/vitest.config.ts', '--reporter=verbose']
  args.push('--reporter=json', `--outputFile.json=${summary}`, ...names)
  const child = spawn(process.execPath, args, { cwd: projectRoot, stdio: 'inherit' })
  const code = await new Promise<number>((resolve) => child.once('close', (ended) => resolve(ended ?? 1)))
  const { numPassedTests, numFailedTests } = JSON.parse(await readFile(summary, 'utf8')) as {
    readonly numPassedTests: number
    readonly numFailedTests: number
  }
  if (numFailedTests > 0) console.log(`screens and wire of what failed: ${join(reports, 'clients')}`)
  console.log(closingLine(numPassedTests, numFailedTests))
  return code
}

const smack = async (classes: readonly string[], mayUpdate: boolean): Promise<number> => {
  const baseline = existsSync(baselineFile) ? (JSON.parse(await readFile(baselineFile, 'utf8')) as Baseline) : {}
  const isWhole = classes.length === 0
  const results = await withRetry(baseline, await runOnce(classes, 'smack.log'), isWhole)
  const comparison = compare(baseline, results, isWhole)
  await writeFile(join(reports, 'smack.json'), `${JSON.stringify(results, undefined, 2)}\n`)
  console.log(resultTable(results))
  console.log(comparisonText(comparison))
  if (mayUpdate && isWhole && comparison.worse.length === 0) {
    await writeFile(baselineFile, `${JSON.stringify(baselineOf(results), undefined, 2)}\n`)
    console.log(`the baseline is now this run: ${baselineFile}`)
  }
  // What the baseline knows to fail waits for features that are to come; it fails the run when it was better before.
  const known = count(results, 'failed') - comparison.worse.length
  console.log(`${count(results, 'impossible')} impossible, ${Math.max(known, 0)} failed as in the baseline`)
  console.log(closingLine(count(results, 'passed'), comparison.worse.length))
  return comparison.worse.length === 0 ? 0 : 1
}

// Some of these tests race with themselves; what became worse is tried again, by itself, before it is called worse.
const withRetry = async (baseline: Baseline, first: readonly Result[], isWhole: boolean): Promise<readonly Result[]> => {
  let results = first
  for (let retry = 1; retry <= retries; retry++) {
    const again = compare(baseline, results, isWhole).worse
    if (again.length === 0) break
    console.log(`once more: ${again.join(', ')}`)
    results = withSecondTry(results, await runOnce([...new Set(again.map(classOf))], `smack-retry-${retry}.log`))
  }
  return results
}

const runOnce = async (classes: readonly string[], log: string): Promise<readonly Result[]> => {
  await mkdir(reports, { recursive: true })
  return runSmack({ classes, logFile: join(reports, log), progress: (line) => console.log(line) })
}

process.exitCode = await main().catch((error: Error) => {
  console.error(error.message)
  return 2
})
