import { expect } from 'vitest'
import { StorageError } from '#storage/storage-error.ts'
import { Metrics } from './base/metrics.ts'
import { offline } from './modules/offline.ts'
import { presence } from './modules/presence.ts'
import { conversation, xml } from './testing/conversation.ts'

const modules = [presence, offline]
const romeo = 'romeo@verona.example'
const says = (to: string, id: string) => xml`<message type="chat" to="${to}" id="${id}"><body>Wherefore?</body></message>`

/** The lines of these metrics, without the prefix. */
const linesOf = async (metrics: Metrics, ...names: readonly string[]): Promise<readonly string[]> =>
  (await metrics.text())
    .split('\n')
    .filter((line) => names.some((name) => new RegExp(`^waxwing_${name}[{ ]`).test(line)))
    .map((line) => line.replace('waxwing_', ''))

const counted = new Metrics()
conversation(
  'DESIGN P5: a message is counted when it comes, is kept, goes live or late, and is taken',
  { modules, metrics: counted, carriers: ['memory'] },
  async ({ comesOnline, connect, createAccount }) => {
    await createAccount(romeo)
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(says(romeo, 'm1'))
    const phone = await connect(`${romeo}/phone`)
    await phone.sends('<presence/>')
    await juliet.sends(says(romeo, 'm2'))
    await phone.ignores()
    await juliet.sends(says('nobody@verona.example', 'm3'))
    expect(await linesOf(counted, 'messages_\\w+_total', 'stanzas_refused_total', 'sessions', 'sessions_started_total')).toEqual([
      'stanzas_refused_total{condition="service-unavailable"} 1',
      'messages_kept_total 2',
      'messages_taken_total 2',
      'messages_delivered_total{when="live"} 1',
      'messages_delivered_total{when="late"} 1',
      'messages_over_limit_total 0',
      'messages_expired_total 0',
      'sessions 2',
      'sessions_started_total 2',
      'messages_repeated_total 0',
    ])
    const received = await linesOf(counted, 'stanzas_received_total')
    expect(received[0]).toBe('stanzas_received_total{kind="message"} 3')
    expect(received[1]).toBe('stanzas_received_total{kind="presence"} 2')
  },
)

const refusing = new Metrics()
conversation(
  'DESIGN P5: what is refused is counted by its condition, streams and logins too',
  { modules, metrics: refusing, carriers: ['memory'] },
  async ({ connect, createAccount, driver, visit }) => {
    await createAccount(romeo)
    const juliet = await connect('juliet@verona.example/balcony')
    driver.failNext(new StorageError('the disk is full', { isTransient: true }))
    await juliet.sends(says(romeo, 'm1'))
    await juliet.sends('<presence xmlns="urn:example:other"/>')
    const tybalt = await visit()
    await tybalt.opensStream()
    await tybalt.sends(xml`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">AHJvbWVvAHdyb25n</auth>`)
    await expect.poll(() => linesOf(refusing, 'logins_total'), { interval: 5 }).toHaveLength(2)
    expect(await linesOf(refusing, 'stanzas_refused_total', 'stream_errors_total', 'logins_total')).toEqual([
      'stanzas_refused_total{condition="resource-constraint"} 1',
      'logins_total{mechanism="SCRAM-SHA-1",result="success"} 1',
      'logins_total{mechanism="PLAIN",result="not-authorized"} 1',
      'stream_errors_total{condition="unsupported-stanza-type"} 1',
    ])
  },
)

const SM = 'urn:xmpp:sm:3'
const resuming = new Metrics()
conversation(
  'XEP-0198 §5: resumes are counted, and those that fail',
  { modules, metrics: resuming, carriers: ['memory'] },
  async ({ connect, visit }) => {
    const phone = await connect(`${romeo}/phone`)
    await phone.sends(xml`<enable xmlns="${SM}" resume="true"/>`)
    await phone.vanishes()
    expect(await linesOf(resuming, 'sessions', 'sessions_detached')).toEqual(['sessions 1', 'sessions_detached 1'])
    const again = await visit()
    await again.logsIn('romeo', 'secret')
    await again.sends(xml`<resume xmlns="${SM}" previd="nothing" h="0"/>`)
    expect(await linesOf(resuming, 'resumes_total')).toEqual([
      'resumes_total{result="resumed"} 0',
      'resumes_total{result="refused"} 1',
    ])
  },
)
