import { describe, expect, test } from 'vitest'
import { createLog, nullLog, recordingLog } from './log.ts'

const written = (format: 'json' | 'pretty' | 'auto', isTTY = false) => {
  const lines: string[] = []
  return { lines, log: createLog({ level: 'info', format, to: { isTTY, write: (line) => lines.push(line) } }) }
}

describe('the log', () => {
  test('writes one JSON line an event, with its fields', () => {
    const { log, lines } = written('auto')
    log.child({ jid: 'juliet@example.org' }).info('session-resumed', { resent: 3 })
    log.debug('not-this')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      event: 'session-resumed',
      jid: 'juliet@example.org',
      resent: 3,
    })
  })

  test('writes prose on a terminal', () => {
    const { log, lines } = written('auto', true)
    log.warn('disk-full', { freeBytes: 5 })
    expect(lines.join('')).toContain('disk-full')
    expect(lines.join('')).not.toContain('{')
  })

  test('what a peer chose does not command the terminal', () => {
    const { log, lines } = written('pretty')
    const id = 'a\x1b[2J\x9b31m\u202eb\b\\u001b'
    log.error('stanza-failed', { id, error: new Error(id) })
    expect(lines.join('')).toContain('stanza-failed')
    expect(lines.join('')).toContain('\\u001b')
    expect(lines.join('')).not.toMatch(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202e]/)
  })

  test('keeps the stack and code of errors', () => {
    const { log, lines } = written('json')
    log.error('storage-failed', { error: Object.assign(new Error('disk'), { code: 'ENOSPC' }) })
    expect(JSON.parse(lines[0] ?? '').error).toMatchObject({
      message: 'disk',
      code: 'ENOSPC',
      stack: expect.stringContaining('log.test'),
    })
  })

  test.each([
    'password',
    'adminPassword',
    'token',
    'inviteToken',
    'secret',
    'credentials',
    'authorization',
    'stanza',
    'body',
    'wire',
    'payload',
    'serverKey',
  ])('never lets %s pass', (field) => {
    const { log, lines } = written('json')
    log.info('slip', { [field]: 'hush' })
    log.child({ [field]: 'hush' }).info('slip')
    expect(lines.join('')).not.toContain('hush')
    expect(lines.join('')).toContain('[redacted]')
  })

  test('lets counts of such things pass', () => {
    const { log, lines } = written('json')
    log.info('flushed', { stanzas: 5, payloadName: 'ping' })
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ stanzas: 5, payloadName: 'ping' })
  })

  test('is recorded for tests', () => {
    const { log, entries } = recordingLog()
    log.child({ a: 1 }).warn('odd', { b: 2, password: 'hush' })
    expect(entries).toEqual([{ level: 'warn', event: 'odd', fields: { a: 1, b: 2, password: '[redacted]' } }])
    nullLog.child({}).fatal('nowhere')
  })
})
