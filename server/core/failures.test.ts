import { expect, test } from 'vitest'
import { recordingLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { wire } from '#stanzas/wire.ts'
import { StorageError } from '#storage/storage-error.ts'
import { failureLog } from './failures.ts'

const message = parseStanza(wire("<message id='m1'><body>Hello</body></message>"))
const full = new StorageError('the disk is full', { isTransient: true })

test('a full disk makes one line a second, which says how many there were', () => {
  const { log, entries } = recordingLog()
  const clock = new FakeClock()
  const logFailure = failureLog(log, clock)
  for (let each = 0; each < 100; each++) logFailure(message, full)
  clock.advance('1s')
  logFailure(message, full)
  expect(entries.map(({ event, fields }) => [event, fields.unsaid])).toEqual([
    ['storage-failed', 0],
    ['storage-failed', 99],
  ])
})

test('every mistake of ours is a line, with the name of what was sent and not its content', () => {
  const { log, entries } = recordingLog()
  const logFailure = failureLog(log, new FakeClock())
  const error = new TypeError('no')
  logFailure(message, error)
  logFailure(message, error)
  expect(entries).toHaveLength(2)
  expect(entries[0]).toMatchObject({ level: 'error', event: 'stanza-failed', fields: { kind: 'message', id: 'm1', error } })
  expect(JSON.stringify(entries)).not.toContain('Hello')
})
