import { describe, expect, test } from 'vitest'
import { Metrics } from './metrics.ts'

const samples = async (metrics: Metrics): Promise<readonly string[]> =>
  (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))

describe('metrics', () => {
  test('counters are plain numbers until they are scraped, and scraping twice counts once', async () => {
    const metrics = new Metrics()
    const messages = metrics.counter('stanzas_total', 'Stanzas.', { kind: 'message' })
    const iqs = metrics.counter('stanzas_total', 'Stanzas.', { kind: 'iq' })
    messages.add()
    messages.add(4)
    iqs.add()
    expect(messages.value).toBe(5)
    await metrics.text()
    expect(await samples(metrics)).toEqual(['waxwing_stanzas_total{kind="message"} 5', 'waxwing_stanzas_total{kind="iq"} 1'])
  })

  test('gauges are read when they are scraped', async () => {
    const metrics = new Metrics()
    let sessions = 1
    metrics.gauge('sessions', 'Sessions.', () => sessions)
    sessions = 7
    expect(await samples(metrics)).toEqual(['waxwing_sessions 7'])
  })

  test('totals are kept by somebody else and read when they are scraped', async () => {
    const metrics = new Metrics()
    const counts = { late: 2, live: 5 }
    metrics.total('sent_total', 'Sent.', () => counts.live, { when: 'live' })
    metrics.total('sent_total', 'Sent.', () => counts.late, { when: 'late' })
    counts.late++
    expect(await samples(metrics)).toEqual(['waxwing_sent_total{when="live"} 5', 'waxwing_sent_total{when="late"} 3'])
  })

  test('a tally has a line for each that happened', async () => {
    const metrics = new Metrics()
    const logins = metrics.tally('logins_total', 'Logins.', ['mechanism', 'result'])
    logins.add('PLAIN', 'success')
    logins.add('PLAIN', 'not-authorized')
    logins.add('PLAIN', 'success')
    expect(await samples(metrics)).toEqual([
      'waxwing_logins_total{mechanism="PLAIN",result="success"} 2',
      'waxwing_logins_total{mechanism="PLAIN",result="not-authorized"} 1',
    ])
  })

  test('histograms count into buckets', async () => {
    const metrics = new Metrics()
    const commit = metrics.histogram('commit_seconds', 'Commits.', [0.01, 0.1])
    commit.observe(0.05)
    expect(await samples(metrics)).toContain('waxwing_commit_seconds_bucket{le="0.1"} 1')
  })

  test('the process is watched until told otherwise', async () => {
    const metrics = new Metrics()
    const end = metrics.watchProcess()
    const text = await metrics.text()
    end()
    for (const name of [
      'event_loop_delay_seconds{quantile="0.99"}',
      'memory_resident_bytes',
      'cpu_seconds_total{mode="user"}',
      'uptime_seconds',
    ])
      expect(text).toContain(`waxwing_${name}`)
  })
})
