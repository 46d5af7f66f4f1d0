import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from './base/config.ts'
import { nullLog } from './base/log.ts'
import type { RunningServer } from './command/server-seam.ts'
import { modules } from './modules/index.ts'
import { startServer } from './server.ts'

const page = readFileSync(new URL('../docs/metrics.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| `(waxwing_\w+)` \| (\w+) \| ([^|]*)\| (.*) \|$/gm)].map(
  ([, name = '', type = '', labels = '', help = '']) => ({ name, type, labels: labels.match(/\w+/g) ?? [], help }),
)

describe('DESIGN P5: the metrics of a running server', () => {
  let data: string
  let server: RunningServer
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${server.ports.admin}/metrics`)).text()

  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'waxwing-metrics-'))
    const config = loadConfig({
      overrides: { data, listen: { c2s: 0, tls: 0, http: 0, admin: 0 } },
      modules: Object.fromEntries(modules.map((module) => [module.name, module.config])),
    })
    server = await startServer({ config, log: nullLog })
  })
  afterAll(async () => {
    await server.stop()
    rmSync(data, { recursive: true })
  })

  test('docs/metrics.md names each with its type and its meaning, and no other', async () => {
    const text = await scrape()
    const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]))
    const printed = [...text.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name = '', help = '']) => ({
      name,
      type: types.get(name),
      help,
    }))
    const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1)
    expect(rows.map(({ name, type, help }) => ({ name, type, help })).sort(byName)).toEqual(printed.sort(byName))
  })

  test('docs/metrics.md names the labels', async () => {
    // The first scrape is a request that the second one counts.
    await scrape()
    const text = await scrape()
    expect(text).toContain('waxwing_http_requests_total{server="operators",status="200"}')
    for (const [, name = '', labels = ''] of text.matchAll(/^(waxwing_\w+)\{(.*)\} \S+$/gm)) {
      const row = rows.find((each) => name.replace(/_bucket$/, '') === each.name)
      const printed = (labels.match(/\w+(?==")/g) ?? []).filter((label) => label !== 'le')
      expect({ name, labels: row?.labels }).toEqual({ name, labels: printed })
    }
  })

  test('what the server writes and how busy its loop is, is measured', async () => {
    const text = await scrape()
    expect(text).toMatch(/^waxwing_store_commit_seconds_count [1-9]/m)
    expect(text).toMatch(/^waxwing_store_failures_total 0$/m)
    expect(text).toMatch(/^waxwing_memory_resident_bytes [1-9]/m)
    expect(text).toMatch(/^waxwing_event_loop_delay_seconds\{quantile="0.99"\} \d/m)
  })
})
