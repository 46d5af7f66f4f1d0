import { appendFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

/** Suites that need programs of strangers, which the default run leaves out. */
const LEFT_OUT = [
  'strangers’ clients (Profanity, slixmpp, @xmpp/client, stanza): sh conformance/install.sh, then npm run conformance:clients',
  'Smack’s integration tests: sh conformance/install.sh, then npm run conformance:smack',
  '100,000 mutated streams: npm run fuzz',
]

/**
 * Says at the end what was not run and how to run it, and the counts in one plain line.
 * With WAXWING_NO_SKIPS set, a skipped test is a failed run; with WAXWING_COUNTS, the counts are added to that file.
 */
export default class ClosingWords implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    let passed = 0
    let failed = 0
    const skipped: string[] = []
    for (const module of modules) {
      if (module.children.size === 0 && module.errors().length > 0) failed++
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
        else skipped.push(test.fullName)
      }
    }
    for (const name of skipped) process.stdout.write(`skipped: ${name}\n`)
    if (skipped.length > 0 && process.env.WAXWING_NO_SKIPS !== undefined) {
      process.stdout.write('A skipped test is a failure here (WAXWING_NO_SKIPS).\n')
      failed += skipped.length
      process.exitCode = 1
    }
    if (process.env.WAXWING_COUNTS === undefined)
      process.stdout.write(`\nLeft out:\n${LEFT_OUT.map((each) => `  ${each}\n`).join('')}\n`)
    else appendFileSync(process.env.WAXWING_COUNTS, `${passed} ${failed}\n`)
    process.stdout.write(`${passed} passed, ${failed} failed\n`)
  }
}
