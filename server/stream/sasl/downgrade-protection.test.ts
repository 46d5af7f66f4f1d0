import { expect, test } from 'vitest'
import { downgradeHash, versionNumber } from './downgrade-protection.ts'

test('XEP-0474 §6.3: the hash of the example, in whatever order things were advertised', () => {
  const expected = 'G6k/rBLDqgOhRRaCuuatSDFkJ08='
  expect(downgradeHash('SHA-1', ['SCRAM-SHA-1', 'SCRAM-SHA-1-PLUS'], ['tls-server-end-point', 'tls-exporter'])).toBe(expected)
  expect(downgradeHash('SHA-1', ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1'], ['tls-exporter', 'tls-server-end-point'])).toBe(expected)
})

test('XEP-0474 §6.1: without advertised channel bindings there is no separator', () => {
  // printf 'PLAIN\036SCRAM-SHA-256' | openssl dgst -sha256 -binary | base64
  expect(downgradeHash('SHA-256', ['SCRAM-SHA-256', 'PLAIN'], [])).toBe('Rgy1OtqF8B/re2ip4rVzs2herVHnECfKbsLqKQgUMgo=')
})

test('XEP-0515 §4.1: the number of the TLS version', () => {
  expect([versionNumber('TLSv1.3'), versionNumber('TLSv1.2'), versionNumber('other')]).toEqual(['0304', '0303', undefined])
})
