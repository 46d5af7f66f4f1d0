import { expect, test } from 'vitest'
import type { TlsFacts } from '#server/stream/connection.ts'
import { bindingData, offeredBindings, parseBindingType } from './channel-binding.ts'

const facts = (protocol: string, certificateHash: Buffer | undefined): TlsFacts => ({
  protocol,
  exporter: () => Buffer.alloc(32, 1),
  serverEndPoint: () => certificateHash,
})
const hash = Buffer.alloc(32, 2)

test('XEP-0440 §3: tls-server-end-point is always on offer, behind what is stronger', () => {
  expect(offeredBindings(facts('TLSv1.3', hash))).toEqual(['tls-exporter', 'tls-server-end-point'])
})

test('RFC 9266 §4.2: before TLS 1.3 the exporter is not unique', () => {
  const old = facts('TLSv1.2', hash)
  expect(offeredBindings(old)).toEqual(['tls-server-end-point'])
  expect(bindingData(old, 'tls-exporter')).toBeUndefined()
  expect(parseBindingType(old, 'tls-exporter')).toBeUndefined()
})

test('RFC 5929 §4.1: a certificate whose signature has no usable hash cannot be bound to', () => {
  expect(offeredBindings(facts('TLSv1.3', undefined))).toEqual(['tls-exporter'])
  expect(offeredBindings(facts('TLSv1.2', undefined))).toEqual([])
})

test('without TLS there is nothing to bind to', () => {
  expect(offeredBindings(undefined)).toEqual([])
  expect(parseBindingType(undefined, 'tls-exporter')).toBeUndefined()
})

test('each type has its own data, and other types are unknown', () => {
  const tls = facts('TLSv1.3', hash)
  expect(bindingData(tls, 'tls-exporter')).toEqual(Buffer.alloc(32, 1))
  expect(bindingData(tls, 'tls-server-end-point')).toEqual(hash)
  expect(parseBindingType(tls, 'tls-exporter')).toBe('tls-exporter')
  expect(parseBindingType(tls, 'tls-unique')).toBeUndefined()
})
