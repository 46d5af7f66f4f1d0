import { expect, test } from 'vitest'
import type { TlsFacts } from '#server/stream/connection.ts'
import { findMechanism, mechanisms } from './mechanism.ts'

const tls: TlsFacts = { protocol: 'TLSv1.3', exporter: () => Buffer.alloc(32), serverEndPoint: () => Buffer.alloc(32) }
const offered = (facts: { readonly tls: TlsFacts | undefined; readonly allowPlainWithoutTls: boolean }) =>
  mechanisms.filter((mechanism) => mechanism.isOffered(facts)).map(({ name }) => name)

const UNBOUND = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']
const BOUND = ['SCRAM-SHA-512-PLUS', 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS']

test('under TLS everything is on offer, strongest first', () => {
  expect(offered({ tls, allowPlainWithoutTls: false })).toEqual([...BOUND, ...UNBOUND, 'PLAIN'])
})

test('RFC 6120 §13.9.4: without TLS nothing binds to it, and PLAIN is not on offer unless the operator says so', () => {
  expect(offered({ tls: undefined, allowPlainWithoutTls: false })).toEqual(UNBOUND)
  expect(offered({ tls: undefined, allowPlainWithoutTls: true })).toEqual([...UNBOUND, 'PLAIN'])
})

test('RFC 5802 §6: where TLS gives nothing to bind to, -PLUS is not on offer', () => {
  const unbindable: TlsFacts = { protocol: 'TLSv1.2', exporter: () => Buffer.alloc(32), serverEndPoint: () => undefined }
  expect(offered({ tls: unbindable, allowPlainWithoutTls: false })).toEqual([...UNBOUND, 'PLAIN'])
})

test('RFC 4422 §3.1: a mechanism is found by its exact name', () => {
  expect(findMechanism('SCRAM-SHA-1')?.name).toBe('SCRAM-SHA-1')
  expect(findMechanism('scram-sha-1')).toBeUndefined()
  expect(findMechanism('EXTERNAL')).toBeUndefined()
})
