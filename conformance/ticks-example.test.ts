import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { projectRoot, type ServerProcess, startWaxwing } from './server-process.ts'

const demo = join(projectRoot, 'docs/examples/ticks-client/demo.mjs')
const BLUE = '\x1b[34m✓✓\x1b[0m'
const ONE = '\x1b[90m✓\x1b[0m '
const TWO = '\x1b[90m✓✓\x1b[0m'
const QUESTION = 'What shall I swear by?'

let server: ServerProcess
beforeAll(async () => {
  server = await startWaxwing({})
}, 30_000)
afterAll(() => server.stop())

test('the example client shows one tick, two ticks and blue ticks', async () => {
  const service = `ws://localhost:${server.ports.http}/xmpp-websocket`
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [demo, service, server.domain], { timeout: 15_000 })
  const lines = stdout.split('\n')
  const at = (line: string): number => {
    expect(lines).toContain(line)
    return lines.indexOf(line)
  }
  const states = [ONE, TWO, BLUE].map((drawn) => at(`romeo   ${drawn} ${QUESTION}`))
  const story = [at('--- Juliet leaves'), states[0], at('--- Juliet comes back'), states[1], at('--- Juliet reads'), states[2]]
  expect(story).toEqual(story.toSorted((a, b) => Number(a) - Number(b)))
  // Who has read the last has read the first.
  expect(lines).toContain(`romeo   ${BLUE} Lady, by yonder blessed moon I swear`)
  expect(lines).toContain('juliet  2 unread')
  expect(stderr).toBe('')
})
